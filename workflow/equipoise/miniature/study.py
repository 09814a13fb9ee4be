"""`equipoise miniature study`: the embedded experiment on several pools, gathered to one table of macro averages and one of audits.

Every pool is an experiment of its own, run to its report by snakemake; this reads their scores.csv, selections and matrices.
"""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

from equipoise.config import Experiment, Miniature
from equipoise.config_file import read_config, write_config
from equipoise.errors import UserError
from equipoise.experiment import run_epochs, trained_runs
from equipoise.files import read_jsonl, write_text
from equipoise.miniature.composition import Audit, audit_selection, read_metadata
from equipoise.progress import log
from equipoise.selectors import selector as find_selector
from equipoise.store.artefact import open_artefact

PROFILE = "profiles/local"
MARKS = ("<!-- study: written by `make study` -->", "<!-- end of study -->")


@dataclass(frozen=True)
class Cell:
    """Macro average of a selector at a budget: mean and standard deviation over pools, in points. deviation: None for one pool."""

    profile: str
    selector: str
    budget: str
    pools: int
    mean: float
    deviation: float | None


def run_study(config_path: str | Path, profiles: Sequence[str], seeds: Sequence[str], cores: str) -> str:
    """Runs every (profile, seed) and returns the table as Markdown; also writes it, and its numbers, to <results>/<experiment>-study/.

    Raises `UserError` for an experiment without a `miniature` section, a seed that is not a number, or a pool whose run fails.
    """
    base = read_config(config_path)
    experiments = [pool_experiment(base, profile, _seed(seed)) for profile in profiles for seed in seeds]
    target = Path(base.results) / f"{base.experiment}-study"
    for experiment in experiments:
        _run(experiment, target / f"{experiment.experiment}.yaml", cores)
    cells = gather((experiment.miniature.profile, read_macros(experiment)) for experiment in experiments)
    text = markdown(cells)
    write_text(target / "table.md", text)
    write_text(target / "table.csv", _csv([asdict(cell) for cell in cells]))
    write_text(target / "audit.csv", _csv([row for experiment in experiments for row in audit_rows(experiment)]))
    write_text(target / "scales.csv", _csv([row for experiment in experiments for row in scale_rows(experiment)]))
    _fill_in(Path("docs/results.md"), text)
    return text


def pool_experiment(base: Experiment, profile: str, seed: int) -> Experiment:
    """The embedded experiment on another pool: its name, its data and the paths to them, nothing else. The base's own pool: the base.

    Raises `UserError` when the base has no `miniature` section.
    """
    if base.miniature is None:
        raise UserError("miniature: not set; give the study an experiment with miniature: {profile: noisy, seed: 0}, such as config.yaml")
    if (profile, seed) == (base.miniature.profile, base.miniature.seed):
        return base
    old, new = base.miniature.folder, Miniature(profile=profile, seed=seed).folder
    values = json.loads(json.dumps(base.model_dump(mode="json")).replace(f"{old}/", f"{new}/"))
    values |= {"experiment": f"{base.experiment}-{profile}-{seed}", "miniature": {"profile": profile, "seed": seed}}
    return Experiment.model_validate(values)


def _seed(text: str) -> int:
    if not text.strip().isdigit():
        raise UserError(f"--pool-seeds: {text!r} is not a seed; write numbers separated by commas, such as 0,1,2")
    return int(text)


def _run(experiment: Experiment, path: Path, cores: str) -> None:
    write_config(experiment, path)
    log(f"study: {experiment.experiment}")
    command = [sys.executable, "-m", "equipoise", "run", "--profile", PROFILE, "--cores", cores, "--configfile", str(path)]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise UserError(f"study: {experiment.experiment} ended with status {code}; see its log above, fix the cause and run this again")


def read_macros(experiment: Experiment) -> dict[tuple[str, str], float]:
    """(selector, budget) -> macro average over tasks, averaged over the runs, from the experiment's scores.csv.

    Of several numbers of epochs the sweep's are taken (`finetune.epochs`), for `full` the last of `finetune.full_epochs`.
    """
    path = Path(experiment.layout.report) / "scores.csv"
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run the experiment's report") from None
    scores: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if int(row["epochs"]) == run_epochs(experiment, row["selector"])[-1]:
            scores.setdefault((row["selector"], row["budget"]), []).append(float(row["score"]))
    return {key: fmean(values) for key, values in scores.items()}


def gather(pools: Iterable[tuple[str, Mapping[tuple[str, str], float]]]) -> list[Cell]:
    """Cells of a study from (profile, macros) of every pool, in order of first appearance."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for profile, macros in pools:
        for (selector, budget), macro in macros.items():
            values.setdefault((profile, selector, budget), []).append(macro)
    return [Cell(*key, len(macros), fmean(macros), stdev(macros) if len(macros) > 1 else None) for key, macros in values.items()]


def markdown(cells: Sequence[Cell]) -> str:
    """One table per profile: selectors down, budgets across, `mean ± deviation`; selectors without a budget are in the first column."""
    parts = []
    for profile in dict.fromkeys(cell.profile for cell in cells):
        own = [cell for cell in cells if cell.profile == profile]
        swept = [cell for cell in own if find_selector(cell.selector).swept]
        budgets = sorted({cell.budget for cell in swept}, key=float)
        names = [f"{float(budget) * 100:g} %" if "." in budget else f"{budget} rows" for budget in budgets]
        by_place = {(cell.selector, cell.budget): cell for cell in own}
        lines = [
            f"Macro average of {profile} pools, mean ± standard deviation over {max(cell.pools for cell in own)} pool seeds:",
            "",
            f"| selector | {' | '.join(names)} |",
            f"|---{'|---' * len(budgets)}|",
        ]
        for selector in dict.fromkeys(cell.selector for cell in own):
            if not find_selector(selector).swept:
                texts = [_text(next(cell for cell in own if cell.selector == selector)), *[""] * (len(budgets) - 1)]
            else:
                texts = [_text(by_place[selector, budget]) if (selector, budget) in by_place else "" for budget in budgets]
            lines.append(f"| {selector} | {' | '.join(texts)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _text(cell: Cell) -> str:
    return f"{cell.mean:.1f}" + ("" if cell.deviation is None else f" ± {cell.deviation:.1f}")


def audit_rows(experiment: Experiment) -> list[dict[str, object]]:
    """The audit of every selection of an experiment, one mapping each."""
    import pyarrow.parquet as pq

    pool = pq.read_table(open_artefact(experiment, "pool").only_file(), columns=["id", "source", "metadata"]).to_pydict()
    metadata = read_metadata(pool["metadata"])
    rows = []
    for selector, seed, budget in dict.fromkeys((r.selector, r.selection_seed, r.budget) for r in trained_runs(experiment)):
        selection = open_artefact(experiment, "selection", selector=selector, selection_seed=seed, budget=budget)
        picked = [line["row"] for _, line in read_jsonl(selection.only_file())]
        audit = audit_selection(picked, pool["id"], pool["source"], metadata)
        rows.append({"experiment": experiment.experiment, "selector": selector, "selection_seed": seed, "budget": budget, **_flat(audit)})
    return rows


def _flat(audit: Audit) -> dict[str, object]:
    shares = {name: round(value, 2) for name, value in asdict(audit).items() if name not in ("tasks", "rows")}
    return {"rows": audit.rows, **shares, **{f"from {task}": round(share, 2) for task, share in sorted(audit.tasks.items())}}


def scale_rows(experiment: Experiment) -> list[dict[str, object]]:
    """Mean standard deviation of the attribution matrix's columns by task: the scales that normalisation evens out."""
    manifest = open_artefact(experiment, "matrix", matrix="influence")
    by_task: dict[str, list[float]] = {}
    for column, deviation in zip(manifest["columns"], manifest["std"], strict=True):
        by_task.setdefault(column["task"], []).append(deviation)
    return [{"experiment": experiment.experiment, "task": task, "std": fmean(deviations)} for task, deviations in by_task.items()]


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, restval=0, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _fill_in(path: Path, table: str) -> None:
    start, end = MARKS
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if start in text and end in text:
        before, after = text.split(start)[0], text.split(end)[1]
        write_text(path, f"{before}{start}\n{table}{end}{after}")
