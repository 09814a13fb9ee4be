"""Every stage with a fault at one of its writes: told in one line or got over, and the same bytes when it is started again."""

import random
from pathlib import Path

import pytest

from equipoise.attribution.assemble import assemble_attribution
from equipoise.attribution.seal import seal_attribution
from equipoise.checking.check_base import check_base
from equipoise.config_file import parse_config, write_config
from equipoise.curvature.fit import fit_curvature
from equipoise.data.pool import prepare_pool
from equipoise.data.targets import prepare_targets
from equipoise.evaluation.decontaminate import decontaminate
from equipoise.evaluation.evaluate import evaluate
from equipoise.gradients.collect import collect_pool_gradients, collect_target_gradients
from equipoise.layout import Run
from equipoise.selection.rank import rank
from equipoise.selection.select_budget import select_budget
from equipoise.store.kinds import KINDS
from equipoise.store.lease import LEASES
from equipoise.store.verify import verify
from equipoise.training.fine_tune import fine_tune
from equipoise.training.warm_up import warm_up
from helpers.commands import ended
from helpers.evaluation_experiment import evaluation_values
from helpers.faults import FAILURES, FAULTS, Faults, faulty, laid_out
from helpers.kills import tree_of

RUN = Run("bids", 0, "0.2", 1, 0)
STAGES = {
    "prepare_targets": lambda config: prepare_targets(config, list(config.tasks)),
    "decontaminate": decontaminate,
    "prepare_pool": prepare_pool,
    "check_base": check_base,
    "warm_up": warm_up,
    "fit_curvature": lambda config: fit_curvature(config, [1, 2]),
    "collect_pool_gradients": lambda config: collect_pool_gradients(config, [1, 2], 0),
    "collect_target_gradients": lambda config: collect_target_gradients(config, [1, 2], list(config.tasks)),
    "assemble_attribution": lambda config: assemble_attribution(config, "influence", 0),
    "seal_attribution": lambda config: seal_attribution(config, "influence"),
    "rank": lambda config: rank(config, "bids", 0),
    "select_budget": lambda config: select_budget(config, "bids", 0, "0.2"),
    "fine_tune": lambda config: fine_tune(config, RUN),
    "evaluate": lambda config: evaluate(config, RUN, "chat", 0),
}
SEED = 17


def points(steps: dict[str, int], count: int) -> list[tuple[str, int, str]]:
    """Stages by turns, each with a step of its own and a fault."""
    generator = random.Random(SEED)
    names = list(steps)
    return [(name := names[number % len(names)], generator.randrange(steps[name]), generator.choice(FAULTS)) for number in range(count)]


def results_of(root: Path) -> dict[str, str]:
    """The tree of results, without leases and the seconds that a ranking took."""
    return {name: value for name, value in tree_of(root).items() if LEASES not in Path(name).parts and not name.endswith(".seconds.json")}


@pytest.mark.slow
@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.nightly)])
def test_a_fault_at_any_write_of_any_stage_is_got_over(tiny_values, tmp_path, monkeypatch, count):
    values = evaluation_values(tiny_values, tmp_path, test_rows=6)
    values["gradients"] |= {"estimator": "ekfac"}
    values["pool"] |= {"decontaminate": "report"}
    values["selectors"], values["training"] = ["bids"], values["training"] | {"save_steps": 3}
    config = parse_config(values)
    root, before, after, steps = Path(config.results), {}, {}, {}
    root.mkdir()
    write_config(config, config.layout.config)
    for name, stage in STAGES.items():
        before[name] = tmp_path / "before" / name
        laid_out(root, before[name])
        counted = Faults(root)
        with faulty(counted, monkeypatch):
            stage(config)
        after[name], steps[name] = results_of(root), len(counted.steps)
    assert min(steps.values()) >= 2
    assert sum(steps.values()) > 200
    wrong, met = [], 0
    for number, (name, at, fault) in enumerate(points(steps, count)):
        laid_out(before[name], root)
        faults = Faults(root, at, fault, tmp_path / "copies" / str(number))
        with faulty(faults, monkeypatch):
            code, told = ended(lambda name=name: STAGES[name](config))
        where = f"{name}, step {at} ({' '.join(faults.steps[min(at, len(faults.steps) - 1)])}), {fault}"
        met += faults.met
        if code and (code != 2 or told.count("\n") != 1 or fault not in FAILURES):
            wrong.append(f"{where}: {told}")
        if code and (left := [path for path in root.rglob("*.part") if LEASES not in path.parts]):
            wrong.append(f"{where}: left {left}")
        faults.killed()
        wrong += [f"{where}: vouched for: {defect}" for checked in sound(root) for defect in checked.defects]
        code, told = ended(lambda name=name: STAGES[name](config))
        found = results_of(root)
        different = sorted(path for path in found.keys() | after[name].keys() if found.get(path) != after[name].get(path))
        if code or different:
            wrong.append(f"{where}: again: {told} {different}")
    assert met >= 0.9 * count
    assert not wrong, "\n".join(wrong)


def sound(root: Path) -> list:
    """What `verify` finds of everything that a manifest vouches for; stores that are being made have none."""
    return [checked for checked in (verify(root) if any(root.rglob("*/*/*.json")) else ()) if checked.what.split(": ")[-1] in KINDS]
