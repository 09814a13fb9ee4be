"""The table that sets the paper's numbers beside the experiment's."""

import pandas as pd

from equipoise.config import Experiment
from equipoise.reporting.catalogue import shown_budget
from equipoise.reporting.labels import arm_label, budget_text, long_label
from equipoise.reporting.published import BENCHMARKS, benchmark_of, has_published, matched_thi, matches, published_scores, published_thi
from equipoise.reporting.tables import Column, Table


def side_by_side(config: Experiment, scores: pd.DataFrame) -> Table | None:
    """Published and own macro averages and task scores with differences, one line an arm that both have; none when none matches."""
    if not has_published(config):
        return None
    published = matches(config)
    tasks = {task: name for task, name in benchmark_of(config).items() if task in scores.columns}
    lines = []
    for ours in scores.to_dict("records"):
        theirs = published.get((ours["selector"], ours["budget"], ours["epochs"]))
        if theirs is not None:
            lines += _lines(config, ours, theirs, tasks)
    columns = [Column("label", "Selector"), Column("task", "Task"), Column("published", "Published", 1), Column("ours", "Here", 1, "sd")]
    columns += [Column("difference", "Difference", 1, sign=True), Column("source", "Source")]
    caption = (
        "The paper's numbers beside this experiment's, where model, budget, selector and epochs match; ± standard deviation over runs."
    )
    return Table("published", "Side by side with the paper.", caption, pd.DataFrame(lines), tuple(columns), group="group")


def thi_side_by_side(config: Experiment, figures: dict[str, pd.DataFrame]) -> Table | None:
    """Published and own THI shares with differences, a line a selector and task; none where none matches.

    figures: the numbers of Figures 2 and 3 by the figure's name, counts by selector and task.
    """
    budget = shown_budget(config)
    lines = []
    for name, row in matched_thi(config, budget).items():
        counts = figures["figure_2_thi_less" if name == "task_max" else "figure_3_thi_ablation"].set_index("task")[name]
        for task, share in published_thi(config, name, budget).items():
            line = {"label": long_label(name), "selector": name, "budget": budget, "task": task, "published": 100 * share}
            line |= {"ours": 100 * counts[task] / counts.sum(), "source": row["source"]}
            lines.append(line | {"difference": line["ours"] - line["published"]})
    if not lines:
        return None
    columns = [Column("label", "Selector"), Column("task", "Task"), Column("published", "Published, %", 1), Column("ours", "Here, %", 1)]
    columns += [Column("difference", "Difference", 1, sign=True), Column("source", "Source")]
    caption = (
        f"Which share of a selection of {budget_text(budget)} has its highest influence on a task (THI): the paper's beside this "
        "experiment's, in percent, and the difference in points. LESS in the task-mean form, the others in the instance form."
    )
    return Table("published_thi", "THI beside the paper's.", caption, pd.DataFrame(lines), tuple(columns))


def unmatched_note(config: Experiment) -> str:
    """Says why no published number stands beside the experiment's; empty where some do."""
    if has_published(config):
        return ""
    models = " and ".join(dict.fromkeys(row["model"] for row in published_scores()))
    return (
        f"The paper has no numbers to set beside these: it reports {models} on seven benchmarks at 5, 10 and 15 % and on the full pool; "
        f"this experiment's model is {config.model.name}. Numbers of another model or budget are not comparable and are left out."
    )


def _lines(config: Experiment, ours: dict[str, object], theirs: dict[str, str], tasks: dict[str, str]) -> list[dict[str, object]]:
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
            "published": float(theirs[name]),
            "ours": ours[key],
            "sd": ours[f"{key}_sd"],
            "difference": ours[key] - float(theirs[name]),
            "source": theirs["source"],
        }
        for shown, key, name in pairs
    ]
