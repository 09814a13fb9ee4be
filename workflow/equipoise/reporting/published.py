"""The paper's numbers, kept as data with their source in workflow/report/published/, beside the run's where they match."""

from pathlib import Path

import pandas as pd

from equipoise.config import Experiment
from equipoise.reporting.labels import arm_label, budget_text
from equipoise.reporting.tables import Column, Table

FOLDER = Path(__file__).parents[2] / "report" / "published"
BENCHMARKS = ("human_eval", "mbpp", "bbh", "mmlu", "gsm_plus", "math", "ifeval")
THI_BUDGET = "0.1"


def published_scores() -> pd.DataFrame:
    """Tables 1 to 4 of the paper: model, budget_percent, selector, epochs, seven benchmarks, macro_avg, source."""
    return pd.read_csv(FOLDER / "scores.csv")


def published_counts() -> pd.DataFrame:
    """Figures 2, 3, 7 and 8 of the paper: fig, model, selector, definition, seven benchmarks, source."""
    return pd.read_csv(FOLDER / "thi_10percent.csv")


def benchmark_of(config: Experiment) -> dict[str, str]:
    """Task name -> the paper's benchmark it is, by the task's benchmark or by its name; a miniature's own tasks match none."""
    names = {task: settings.benchmark if settings.benchmark in BENCHMARKS else task for task, settings in config.tasks.items()}
    return {task: name for task, name in names.items() if name in BENCHMARKS and _has_data(config, task)}


def _has_data(config: Experiment, task: str) -> bool:
    """A jsonl task of the miniature may be called `math`; it is the paper's only if the model is one of the paper's."""
    return config.tasks[task].benchmark != "jsonl" or config.model.name in set(published_scores()["model"])


def published_thi(config: Experiment, budget: str) -> pd.DataFrame | None:
    """The paper's THI shares of LESS's selection (columns task, share) when model and budget match."""
    counts = published_counts()
    found = counts[(counts["model"] == config.model.name) & (counts["selector"] == "task_max")]
    tasks = benchmark_of(config)
    if budget != THI_BUDGET or found.empty or not tasks:
        return None
    row = found.iloc[0]
    total = row[list(BENCHMARKS)].sum()
    return pd.DataFrame({"task": list(tasks), "share": [row[name] / total for name in tasks.values()]})


def side_by_side(config: Experiment, scores: pd.DataFrame) -> Table | None:
    """Published and own macro averages and task scores with differences, one line an arm that both have; none when none matches."""
    published = published_scores()
    published = published[published["model"] == config.model.name]
    tasks = {task: name for task, name in benchmark_of(config).items() if task in scores.columns}
    lines = []
    for ours in scores.to_dict("records"):
        share = float(ours["budget"]) if "." in str(ours["budget"]) else None
        same = published[(published["selector"] == ours["selector"]) & (published["epochs"] == ours["epochs"])]
        same = same[(same["budget_percent"] / 100 - share).abs() < 1e-9] if share is not None else same.iloc[:0]
        for theirs in same.to_dict("records"):
            lines += _lines(config, ours, theirs, tasks)
    if not lines:
        return None
    columns = [Column("label", "Selector"), Column("task", "Task"), Column("published", "Published", 1), Column("ours", "Here", 1, "sd")]
    columns += [Column("difference", "Difference", 1, sign=True), Column("source", "Source")]
    caption = (
        "The paper's numbers beside this experiment's, where model, budget, selector and epochs match; ± standard deviation over runs."
    )
    return Table("published", "Side by side with the paper.", caption, pd.DataFrame(lines), tuple(columns), group="group")


def _lines(config: Experiment, ours: dict[str, object], theirs: dict[str, object], tasks: dict[str, str]) -> list[dict[str, object]]:
    """One line a task, and the macro average where all seven benchmarks were run."""
    pairs = [(task, task, name) for task, name in tasks.items()]
    if set(tasks.values()) == set(BENCHMARKS):
        pairs.append(("macro average", "macro", "macro_avg"))
    usual = config.finetune.epochs if ours["selector"] != "full" else -1
    return [
        {
            "group": budget_text(str(ours["budget"])),
            "label": arm_label(str(ours["selector"]), int(ours["epochs"]), usual),
            "selector": ours["selector"],
            "budget": ours["budget"],
            "epochs": ours["epochs"],
            "task": shown,
            "published": theirs[name],
            "ours": ours[key],
            "sd": ours[f"{key}_sd"],
            "difference": ours[key] - theirs[name],
            "source": theirs["source"],
        }
        for shown, key, name in pairs
    ]
