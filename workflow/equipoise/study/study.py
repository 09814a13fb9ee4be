"""`equipoise miniature study`: the embedded experiment on several pools, with one or several estimators, gathered to tables.

Every pool is an experiment of its own, and one process (`one_pool`); as many run at a time as there are cores. What they leave is what
the workflow leaves: `equipoise run --configfile <results>/<experiment>-study/<pool>.yaml` makes a pool's report from it.
"""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from equipoise.config import Experiment, Miniature
from equipoise.config_file import parse_config, write_config
from equipoise.errors import UserError
from equipoise.files import write_text
from equipoise.measures import ACCURACY
from equipoise.miniature.generated_pool import PROFILES
from equipoise.progress import log
from equipoise.study.one_pool import Result, read_result
from equipoise.study.tables import Pool, gather, markdown
from equipoise.study.task_tables import gather_tasks

STUDY = "study"
UNMEASURED = {"one_step": {"rows": 0}, "subsets": {"count": 0}, "removal": {"without": [], "only": []}}
"""A study compares estimators by what is selected with them alone."""


@dataclass(frozen=True)
class Study:
    """Pools and arms. Empty: as the configuration says. The configuration's own estimator is collected whatever is asked for: what looks
    at no influence is selected with its valid rows and states.

    name: of the folder of its tables, after the experiment's.
    """

    profiles: Sequence[str] = ("noisy", "clean")
    pool_seeds: Sequence[int] = (0, 1, 2)
    estimators: Sequence[str] = ()
    selectors: Sequence[str] = ()
    budgets: Sequence[float | int] = ()
    seeds: Sequence[int] = ()
    name: str = STUDY

    def folder(self, base: Experiment) -> Path:
        """Where its configurations, logs and tables lie."""
        return Path(base.results) / f"{base.experiment}-{self.name}"


def run_study(base: Experiment, study: Study, cores: int) -> list[Pool]:
    """Makes every pool that is not finished, `cores` at a time, and returns all; writes its tables: table.md, and table, tasks, audit and
    scales as .csv.

    Raises `UserError` for an experiment without a `miniature` section, an unknown name, or a pool that fails.
    """
    folder = study.folder(base)
    experiments = pool_experiments(base, study)
    places = {each.experiment: folder / f"{each.experiment}.json" for each in experiments}
    missing = [each for each in experiments if read_result(places[each.experiment], each) is None]
    for each in experiments:
        write_config(each, places[each.experiment].with_suffix(".yaml"))
    log(f"study: {len(experiments)} pools, {len(missing)} of them to make, {cores} at a time; logs in {folder}")
    with ThreadPoolExecutor(cores) as pool:
        failed = [path for path in pool.map(_make, [places[each.experiment].with_suffix(".yaml") for each in missing]) if path]
    if failed:
        raise UserError(f"study: {failed[0].stem} failed; see {failed[0]}, fix the cause and run this again: what is finished stays")
    found = [_finished(each, places[each.experiment]) for each in experiments]
    pools = [_pool(each, result) for each, result in zip(experiments, found, strict=True)]
    cells = gather(pools)
    write_text(folder / "table.md", markdown(cells))
    write_text(folder / "table.csv", as_csv([vars(cell) for cell in cells]))
    write_text(folder / "tasks.csv", as_csv([vars(cell) for cell in gather_tasks(pools)]))
    write_text(folder / "audit.csv", as_csv([row for each in pools for row in _audits(each)]))
    write_text(folder / "scales.csv", as_csv([row for each in found for row in each.scales]))
    return pools


def pool_experiments(base: Experiment, study: Study) -> list[Experiment]:
    """The experiment of every pool."""
    return [pool_experiment(base, study, profile, seed) for profile in study.profiles for seed in study.pool_seeds]


def finished_pools(base: Experiment, study: Study) -> list[tuple[Experiment, Result]]:
    """The pools whose results are there, made by this configuration; nothing is run."""
    found = [(each, read_result(study.folder(base) / f"{each.experiment}.json", each)) for each in pool_experiments(base, study)]
    return [(each, result) for each, result in found if result is not None]


def pools_so_far(base: Experiment, study: Study) -> list[Pool]:
    """The finished pools of a study that may be under way; nothing is run. Raises `UserError` where there is none."""
    found = [_pool(each, result) for each, result in finished_pools(base, study)]
    if not found:
        raise UserError(f"{study.folder(base)}: no finished pool made by this configuration; run the study")
    log(f"study: {len(found)} of {len(pool_experiments(base, study))} pools are finished")
    return found


def _pool(experiment: Experiment, result: Result) -> Pool:
    return Pool(experiment.miniature.profile, experiment.miniature.seed, result.arms)


def _make(path: Path) -> Path | None:
    """Makes a pool in a process of its own; its log where it failed."""
    name, place = path.stem, path.with_suffix(".log")
    log(f"study: {name} begins, log in {place}")
    with open(place, "a", encoding="utf-8") as file:
        command = [sys.executable, "-m", "equipoise", "miniature", "study-pool", "--config", str(path)]
        code = subprocess.run(command, check=False, stdout=file, stderr=subprocess.STDOUT).returncode
    log(f"study: {name} " + (f"ended with status {code}" if code else "is finished"))
    return place if code else None


def _finished(experiment: Experiment, path: Path) -> Result:
    result = read_result(path, experiment)
    if result is None:
        raise UserError(f"study: {experiment.experiment} left no results; run this again")
    return result


def pool_experiment(base: Experiment, study: Study, profile: str, seed: int) -> Experiment:
    """The embedded experiment on another pool, with the arms of a study: name, data and the paths to them, and what the study names.

    A pool with a task that the experiment lacks gets it, made as the task whose items it asks. Raises `UserError` when the base has no
    `miniature` section, and for unknown names.
    """
    if base.miniature is None:
        raise UserError("miniature: not set; give the study an experiment with miniature: {profile: noisy, seed: 0}, such as config.yaml")
    if profile not in PROFILES:
        raise UserError(f"profile {profile!r}: no such noise profile; write one of {', '.join(PROFILES)}")
    values = base.model_dump(mode="json")
    if (profile, seed) != (base.miniature.profile, base.miniature.seed):
        old, new = base.miniature.folder, Miniature(profile=profile, seed=seed).folder
        values = json.loads(json.dumps(values).replace(f"{old}/", f"{new}/"))
        values |= {"experiment": f"{base.experiment}-{profile}-{seed}", "miniature": {"profile": profile, "seed": seed}}
    for name, skill in PROFILES[profile].skills.items():
        if name not in base.tasks:
            values["tasks"][name] = json.loads(json.dumps(values["tasks"][skill.items_of]).replace(skill.items_of, name))
            values["tasks"][name]["capability"] = skill.capability
    values |= {key: list(asked) for key, asked in (("selectors", study.selectors), ("budgets", study.budgets)) if asked}
    for suite in values["suites"].values():
        suite["measure"] = ACCURACY.name  # what arms are compared by
    if study.seeds:
        values["finetune"]["seeds"] = list(study.seeds)
    if study.selectors:
        values["finetune"]["extra"] = []
    if study.estimators and list(study.estimators) != [base.gradients.estimator]:
        values["validation"] = {"estimators": list(study.estimators), **UNMEASURED}
    return parse_config(values, f"study of {base.experiment}")


def _audits(pool: Pool) -> list[dict[str, object]]:
    """The audit of every selection, one mapping each."""
    rows = {}
    for arm in pool.arms:
        if arm.audit is not None:
            of = {"profile": pool.profile, "pool": pool.seed, "estimator": arm.estimator, "selector": arm.selector}
            of |= {"selection_seed": arm.selection_seed, "budget": arm.budget}
            rows[tuple(of.values())] = of | arm.audit
    return list(rows.values())


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Mappings as CSV, keys in order of first appearance; 0 where one lacks a key."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, restval=0, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def fill_in(path: Path, mark: str, text: str) -> None:
    """Writes a text between a document's marks `<!-- mark: ... -->` and `<!-- end of mark -->`, where it has them."""
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    before, start, rest = found.partition(f"<!-- {mark}:")
    opening, closed, after = rest.partition("-->")
    _, end, after = after.partition(f"<!-- end of {mark} -->")
    if start and closed and end:
        write_text(path, f"{before}{start}{opening}-->\n{text}{end}{after}")
