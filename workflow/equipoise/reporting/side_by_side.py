"""The tables that set the paper's numbers beside the experiment's."""

import pandas as pd

from equipoise.config import Experiment
from equipoise.reporting.arms import LESS
from equipoise.reporting.labels import arm_label, budget_text
from equipoise.reporting.material import Material
from equipoise.reporting.published import BENCHMARKS, benchmark_of, has_published, matched_thi, matches, published_scores, thi_shares
from equipoise.reporting.table import Column, Table
from equipoise.selectors import selector


def published(material: Material) -> Table:
    """The paper's numbers beside this experiment's, where model, budget, selector and epochs match; ± standard deviation over runs."""
    config, scores = material.config, material.frame("table_2_selectors")
    arms = matches(config)
    tasks = {task: name for task, name in benchmark_of(config).items() if task in scores.columns}
    lines = []
    for ours in scores.to_dict("records"):
        theirs = arms.get((ours["selector"], ours["budget"], ours["epochs"]))
        if theirs is not None:
            lines += _lines(config, ours, theirs, tasks)
    columns = [Column("label", "Selector"), Column("task", "Task"), Column("published", "Published", 1), Column("ours", "Here", 1, "sd")]
    columns += [Column("difference", "Difference", 1, sign=True), Column("source", "Source")]
    return Table("", pd.DataFrame(lines), tuple(columns), group="group")


def published_thi(material: Material) -> Table:
    """Share of a selection whose highest influence is on a task (THI): the paper's beside this experiment's, in percent, and the difference
    in points. LESS in the task-mean form, the others in the instance form."""
    config, budget = material.config, material.budget
    lines = []
    for name, row in matched_thi(config, budget).items():
        counts = material.frame("figure_2_thi_less" if name == LESS else "figure_3_thi_ablation").set_index("task")[name]
        for task, share in thi_shares(config, name, budget).items():
            line = {"label": selector(name).label, "selector": name, "budget": budget, "task": task, "published": 100 * share}
            line |= {"ours": 100 * counts[task] / counts.sum(), "source": row["source"]}
            lines.append(line | {"difference": line["ours"] - line["published"]})
    columns = [Column("label", "Selector"), Column("task", "Task"), Column("published", "Published, %", 1), Column("ours", "Here, %", 1)]
    columns += [Column("difference", "Difference", 1, sign=True), Column("source", "Source")]
    return Table(f"Budget: {material.budget_text}.", pd.DataFrame(lines), tuple(columns))


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
    """One line per task, and the macro average where all seven benchmarks were run."""
    pairs = [(task, task, name) for task, name in tasks.items()]
    if set(tasks.values()) == set(BENCHMARKS):
        pairs.append(("macro average", "macro", "macro_avg"))
    return [
        {
            "group": budget_text(str(ours["budget"])),
            "label": arm_label(str(ours["selector"]), int(ours["epochs"]), config.finetune.epochs),
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
