"""What the report of an experiment holds: one entry per result with all its facts, known before anything is computed.

The page, the workflow's outputs, the report folder and `snakemake --report` all follow `RESULTS`. A new table or figure is one module
with a function of this signature and one entry (docs/extending.md); the function's name is the result's, its docstring is the caption,
and `python -m equipoise.reporting.captions` writes that caption to where `snakemake --report` reads it:

    (material: equipoise.reporting.material.Material) -> equipoise.reporting.table.Table or equipoise.reporting.figure.Figure
"""

from collections.abc import Callable, Sequence
from functools import partial

from equipoise.budgets import budget_label
from equipoise.collecting import INFLUENCE
from equipoise.comparison import compared
from equipoise.config import Experiment
from equipoise.experiment import experiment_runs, measured, tells_reliability
from equipoise.layout import Run
from equipoise.measures import ACCURACY, LOSS, Measure
from equipoise.reporting.arms import (
    ABLATION,
    CHANCE,
    LESS,
    STUDIED,
    Arm,
    arms_of,
    balance_pairs,
    baseline_pairs,
    budget_order,
    competitors,
    names_that,
    opposed_arms,
    rival_pairs,
)
from equipoise.reporting.published import has_published, matched_thi
from equipoise.reporting.result import Condition, Result, Section
from equipoise.selectors import selector

PAGE, SCORES = "index.html", "scores.csv"
CHOOSING = names_that(chooses=True)


def shown_budget(config: Experiment) -> str:
    """Label of the budget of the influence figures: 10 % as in the paper where it is swept, else the middle one."""
    labels = [budget_label(budget) for budget in config.budgets]
    return "0.1" if "0.1" in labels else sorted(labels, key=budget_order)[len(labels) // 2]


def results(config: Experiment, runs: Sequence[Run] | None = None) -> list[Result]:
    """Every table and figure of the experiment's report, in the page's order; with `runs`, those that these runs are enough for."""
    runs = experiment_runs(config) if runs is None else runs
    return [result for result in RESULTS if result.when(config, runs)]


def sections() -> list[Section]:
    """The sections of the page, in order."""
    return list(dict.fromkeys(result.section for result in RESULTS))


def _selected(least: int, *names: str) -> Condition:
    """At least so many of these selectors are in the configuration."""
    return lambda config, runs: len(set(config.selectors) & set(names)) >= least


def _ran(least: int, *names: str) -> Condition:
    """At least so many of these selectors have runs, further ones of `finetune.extra` included."""
    return lambda config, runs: len({run.selector for run in runs} & set(names)) >= least


def _swept(config: Experiment, runs: Sequence[Run]) -> bool:
    """There are runs at some budget."""
    return any(selector(run.selector).swept for run in runs)


def _some(pairs: Callable[[list[Arm]], object]) -> Condition:
    """The experiment's arms have such pairs."""
    return lambda config, runs: bool(pairs(arms_of(runs)))


def _ranked(config: Experiment, runs: Sequence[Run]) -> bool:
    """Several arms compete at some budget."""
    arms = arms_of(runs)
    return any(len(competitors(arms, budget_label(budget))) > 1 for budget in config.budgets)


def _has_published_thi(config: Experiment, runs: Sequence[Run]) -> bool:
    return bool(matched_thi(config, shown_budget(config)))


def _tells_reliability(config: Experiment, runs: Sequence[Run]) -> bool:
    """The noise of the projection is known of some estimator's matrix."""
    return any(tells_reliability(each, INFLUENCE) for each in compared(config))


def _validated(config: Experiment, runs: Sequence[Run]) -> bool:
    """Estimators are compared."""
    return bool(config.validation.estimators)


def _balances(config: Experiment, runs: Sequence[Run]) -> bool:
    """BIDS is selected by, on z-scores, which the report shows its balance on."""
    return STUDIED in config.selectors and config.selection.normalisation == "zscore"


def _measured(measure: Measure, condition: Condition = lambda config, runs: True) -> Condition:
    """The experiment has the measure, and the condition holds."""
    return lambda config, runs: measure in measured(config) and condition(config, runs)


def _also_loss(condition: Condition = lambda config, runs: True) -> Condition:
    """Held-out loss stands beside accuracy: alone, it is what the other figures show."""
    return _measured(ACCURACY, _measured(LOSS, condition))


_table, _figure = partial(Result, "table"), partial(Result, "figure")
_deciding_table, _deciding_figure = partial(_table, decides=True), partial(_figure, decides=True)
_summary = Section("summary", "Summary", "Scores")
_scores = Section("scores", "Scores", "Scores")
_statistics = Section("statistics", "What the numbers support", "Comparisons")
_paper = Section("paper", "Beside the paper", "Paper")
_influence = Section("influence", "Influence", "Influence")
_validation = Section("validation", "What the estimators are worth", "Estimators")
_selections = Section("selections", "Selections", "Selections")
_answers = Section("answers", "Answers", "Answers")
_cost = Section("cost", "Cost", "Cost")

RESULTS: tuple[Result, ...] = (
    _figure("plot_scores:score_by_budget", _summary, "Score against budget", _swept),
    _table("score_tables:table_2_selectors", _scores, "Table 2: all selectors"),
    _table("score_tables:table_1_less_and_random", _scores, "Table 1: LESS and random", _ran(2, CHANCE, LESS)),
    _table("score_tables:table_3_ablation", _scores, "Table 3: ablation", _ran(2, *ABLATION)),
    _table("score_tables:table_4_model", _scores, "Table 4: rows of the second model", _ran(2, CHANCE, *ABLATION)),
    _figure("plot_scores:loss_by_budget", _scores, "Held-out loss against budget", _also_loss()),
    _deciding_table("statistics_tables:statistics_comparisons", _statistics, "Comparisons with random and LESS", _some(baseline_pairs)),
    _deciding_table(
        "statistics_tables:statistics_bids", _statistics, "BIDS against everything else", _some(partial(rival_pairs, name=STUDIED))
    ),
    _table("statistics_tables:statistics_macro", _statistics, "Macro averages and their errors"),
    _deciding_table("statistics_tables:statistics_ranks", _statistics, "Ranks", _ranked),
    _deciding_table("statistics_tables:statistics_balance", _statistics, "Balance", _some(balance_pairs)),
    _deciding_figure("plot_scores:differences", _statistics, "Differences from random and LESS", _some(baseline_pairs)),
    _deciding_figure("plot_scores:ranks", _statistics, "Ranks of the selectors", _ranked),
    _deciding_figure("plot_scores:loss_differences", _statistics, "Held-out loss: differences", _also_loss(_some(baseline_pairs))),
    _deciding_figure("plot_scores:loss_ranks", _statistics, "Held-out loss: ranks", _also_loss(_ranked)),
    _table("side_by_side:published", _paper, "Side by side with the paper", _measured(ACCURACY, has_published)),
    _table("side_by_side:published_thi", _paper, "THI beside the paper's", _has_published_thi),
    _figure("plot_influence:figure_1_aid_pool", _influence, "Figure 1: raw AID of the pool"),
    _figure("plot_influence:figure_2_thi_less", _influence, "Figure 2: THI of LESS's selection", _selected(1, LESS)),
    _figure("plot_influence:figure_3_thi_ablation", _influence, "Figure 3: THI of three selections", _selected(1, *ABLATION)),
    _figure("plot_influence:figure_4_aid_ablation", _influence, "Figure 4: normalised AID of three selections", _selected(1, *ABLATION)),
    _figure("plot_influence:figure_5_normality", _influence, "Figure 5: normality of the columns"),
    _table("reliability:table_reliability", _influence, "Projection noise", _tells_reliability),
    _table("estimator_tables:table_estimators", _validation, "Estimators by measure", _validated),
    _table("estimator_tables:table_estimators_by_task", _validation, "Estimators by task", _validated),
    _figure("plot_estimators:predicted_and_true", _validation, "Predicted and true effects", _validated),
    _table(
        "contamination:table_contamination", _selections, "Test items in the pool", lambda config, runs: config.pool.decontaminate != "skip"
    ),
    _table("selection_audit:table_audit", _selections, "Audit of the selections", lambda config, runs: config.miniature is not None),
    _figure("plot_selections:steps_served", _selections, "Tasks served by the steps of BIDS", _selected(1, STUDIED)),
    _table("bids_balance:table_bids_balance", _selections, "Balance of BIDS", _balances),
    _figure("bids_balance:bids_steps_by_example", _selections, "Steps of BIDS by validation example", _balances),
    _figure("plot_selections:influence_along_ranking", _selections, "Influence per task along the ranking", _selected(1, *CHOOSING)),
    _figure("plot_selections:sources", _selections, "Source composition", _selected(1, *CHOOSING)),
    _figure("plot_selections:overlap", _selections, "Overlap of the selections", _selected(2, *CHOOSING)),
    _figure("plot_selections:pool_map", _selections, "Map of the pool", _selected(1, *CHOOSING)),
    _table("answers:tables_5_to_7_answers", _answers, "Tables 5 to 7: right and wrong answers", _measured(ACCURACY, _some(opposed_arms))),
    _table("cost:table_cost", _cost, "Cost of selecting", _selected(1, *CHOOSING)),
)
