"""Seconds that a job of every stage takes: measured where one has finished or runs, else reckoned from the plan by what was measured."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.jobs import Stage
from equipoise.store.running import Record

LIGHT = 3.0
"""Seconds of a stage without model, which no plan counts and which leaves no measurement."""
WITHOUT_MODEL = ("generate_miniature", "prepare_pool", "prepare_targets", "check_base", "decontaminate", "fetch")
LIGHT_STAGES = ("assemble_attribution", "seal_attribution", "rank", "select_budget", "report")


def stage_seconds(config: Experiment, planned: Sequence[Stage], folder: Path, records: Sequence[Record]) -> dict[str, float]:
    """By stage; those of which nothing is known are left out. folder: where snakemake runs, with its benchmark files."""
    measured = {stage.name: seconds for stage in planned if (seconds := _benchmarks(config, folder, stage.name))}
    for record in records:
        if record.stage not in measured and (seconds := record.seconds):
            measured[record.stage] = seconds
    light = dict.fromkeys(WITHOUT_MODEL, 4 * LIGHT) | dict.fromkeys(LIGHT_STAGES, LIGHT)
    operations = _operations(config) if measured else {}
    both = [name for name in measured if operations.get(name)]
    a_second = sum(operations[name] for name in both) / sum(measured[name] for name in both) if both else 0.0
    reckoned = {name: amount / a_second for name, amount in operations.items() if amount and a_second}
    return light | reckoned | measured


def _benchmarks(config: Experiment, folder: Path, rule: str) -> float | None:
    """Mean seconds of a rule's finished jobs, by snakemake's benchmark files."""
    seconds = []
    for path in (folder / "benchmarks" / rule / config.experiment / config.model.name).rglob("*.tsv"):
        with suppress(OSError, ValueError, IndexError):
            seconds.append(float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0]))
    return fmean(seconds) if seconds else None


_known: dict[str, Mapping[str, float]] = {}


def _operations(config: Experiment) -> Mapping[str, float]:
    """Operations of a job of every stage, as `equipoise plan` counts them; nothing where it cannot plan."""
    from equipoise.planning.plan import plan

    key = config.model_dump_json()
    if key not in _known:
        _known.clear()
        with suppress(UserError):
            _known[key] = {stage.name: stage.cost.flops / max(1, len(stage.jobs)) for stage in plan(config).stages}
    return _known.get(key, {})
