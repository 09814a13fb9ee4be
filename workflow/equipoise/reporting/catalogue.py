"""What the report of an experiment holds: every result with its files, category and labels, known before anything is computed.

The workflow declares its outputs from here, annotated for `snakemake --report`; captions stand in workflow/report/<name>.rst.
"""

from dataclasses import dataclass

from equipoise.budgets import budget_label
from equipoise.config import Experiment
from equipoise.experiment import experiment_runs
from equipoise.reporting.arms import (
    ABLATION,
    arms_of,
    balance_pairs,
    baseline_pairs,
    budget_order,
    competitors,
    opposed_arms,
    rival_pairs,
)
from equipoise.reporting.published import has_published, matched_thi

# No category may be called Workflow or Statistics: Snakemake puts link targets of these names below every caption, and a second one of
# the same name is an error message in the caption.
PAGE, SCORES = "index.html", "scores.csv"
TABLE_FORMATS = ("csv", "md", "tex", "html")
FIGURE_FORMATS = ("svg", "pdf", "png", "csv")


@dataclass(frozen=True)
class Result:
    """One table or figure. folder: `tables` or `figures` below the report; shown: the format that `snakemake --report` displays."""

    name: str
    title: str
    category: str
    folder: str

    @property
    def formats(self) -> tuple[str, ...]:
        return TABLE_FORMATS if self.folder == "tables" else FIGURE_FORMATS

    @property
    def files(self) -> tuple[str, ...]:
        """Paths below the report folder, the displayed one first."""
        first = "html" if self.folder == "tables" else "svg"
        return tuple(f"{self.folder}/{self.name}.{ending}" for ending in (first, *(e for e in self.formats if e != first)))

    @property
    def caption(self) -> str:
        """Caption file, relative to workflow/."""
        return f"report/{self.name}.rst"

    @property
    def labels(self) -> dict[str, str]:
        return {"result": self.title, "kind": self.folder.removesuffix("s")}


def shown_budget(config: Experiment) -> str:
    """Label of the budget of the influence figures: 10 % as in the paper where it is swept, else the middle one."""
    labels = [budget_label(budget) for budget in config.budgets]
    return "0.1" if "0.1" in labels else sorted(labels, key=budget_order)[len(labels) // 2]


def results(config: Experiment) -> list[Result]:
    """Every table and figure of the experiment's report, in the page's order."""
    arms = arms_of(experiment_runs(config))
    names = {arm.selector for arm in arms}
    choosing = [name for name in config.selectors if name != "full"]
    ranked = any(len(competitors(arms, budget_label(budget))) > 1 for budget in config.budgets)
    compared, ablated = bool(baseline_pairs(arms)), bool(set(ABLATION) & set(config.selectors))
    models = "two models" if config.report.second_model else "this model"
    wanted = [
        (True, "table_2_selectors", "Table 2: all selectors", "Scores", "tables"),
        ({"random", "task_max"} <= names, "table_1_less_and_random", "Table 1: LESS and random", "Scores", "tables"),
        (len(names & set(ABLATION)) > 1, "table_3_ablation", "Table 3: ablation", "Scores", "tables"),
        (len(names & {"random", *ABLATION}) > 1, "table_4_model", f"Table 4: {models}", "Scores", "tables"),
        (True, "score_by_budget", "Score against budget", "Scores", "figures"),
        (compared, "statistics_comparisons", "Comparisons with random and LESS", "Comparisons", "tables"),
        (bool(rival_pairs(arms, "bids")), "statistics_bids", "BIDS against everything else", "Comparisons", "tables"),
        (True, "statistics_macro", "Macro averages and their errors", "Comparisons", "tables"),
        (ranked, "statistics_ranks", "Ranks", "Comparisons", "tables"),
        (bool(balance_pairs(arms)), "statistics_balance", "Balance", "Comparisons", "tables"),
        (compared, "differences", "Differences from random and LESS", "Comparisons", "figures"),
        (ranked, "ranks", "Ranks of the selectors", "Comparisons", "figures"),
        (has_published(config), "published", "Side by side with the paper", "Scores", "tables"),
        (bool(matched_thi(config, shown_budget(config))), "published_thi", "THI beside the paper's", "Influence", "tables"),
        (True, "figure_1_aid_pool", "Figure 1: raw AID of the pool", "Influence", "figures"),
        ("task_max" in config.selectors, "figure_2_thi_less", "Figure 2: THI of LESS's selection", "Influence", "figures"),
        (ablated, "figure_3_thi_ablation", "Figure 3: THI of three selections", "Influence", "figures"),
        (ablated, "figure_4_aid_ablation", "Figure 4: normalised AID of three selections", "Influence", "figures"),
        (True, "figure_5_normality", "Figure 5: normality of the columns", "Influence", "figures"),
        ("bids" in config.selectors, "steps_served", "Tasks served by the steps of BIDS", "Selections", "figures"),
        (bool(choosing), "influence_along_ranking", "Influence per task along the ranking", "Selections", "figures"),
        (bool(choosing), "sources", "Source composition", "Selections", "figures"),
        (len(choosing) > 1, "overlap", "Overlap of the selections", "Selections", "figures"),
        (bool(choosing), "pool_map", "Map of the pool", "Selections", "figures"),
        (config.pool.decontaminate != "skip", "table_contamination", "Test items in the pool", "Selections", "tables"),
        (config.miniature is not None, "table_audit", "Audit of the selections", "Selections", "tables"),
        (opposed_arms(arms) is not None, "tables_5_to_7_answers", "Tables 5 to 7: right and wrong answers", "Answers", "tables"),
        (bool(choosing), "table_cost", "Cost of selecting", "Cost", "tables"),
    ]
    return [Result(*fields) for present, *fields in wanted if present]
