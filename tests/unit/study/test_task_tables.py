"""A task that starves is seen in the tables by task, which a macro average hides."""

from equipoise.study.one_pool import Arm
from equipoise.study.tables import Pool
from equipoise.study.task_tables import CONFLICTING, TaskCell, gather_tasks, task_markdown


def arm(selector, tasks, estimator="less", budget="0.05", seed=0, audit=None):
    return Arm(estimator, selector, 0, budget, seed, tasks, audit)


POOLS = [
    Pool(
        "conflicting",
        number,
        [
            arm("zero_shot", {"logic": 10.0, "contrary": 12.0}, "", "1.0"),
            arm("round_robin_floor", {"logic": 80.0 + number, "contrary": 0.0}, seed=0, audit={"right": 90.0, "from logic": 30.0}),
            arm("round_robin_floor", {"logic": 82.0 + number, "contrary": 2.0}, seed=1, audit={"right": 90.0, "from logic": 30.0}),
            arm("round_robin", {"logic": 41.0, "contrary": 42.0}, audit={"right": 90.0, "from logic": 20.0, "from contrary": 10.0}),
        ],
    )
    for number in (0, 2)
]


def test_scores_by_task_are_means_over_runs_and_then_over_pools():
    cells = gather_tasks(POOLS)
    starved = next(cell for cell in cells if (cell.selector, cell.task) == ("round_robin_floor", "contrary"))
    assert starved == TaskCell("conflicting", "less", "round_robin_floor", "0.05", "contrary", 2, 1.0, 1.0, 0.0)
    fed = next(cell for cell in cells if (cell.selector, cell.task) == ("round_robin_floor", "logic"))
    assert (fed.mean, fed.lowest, fed.picks) == (82.0, 81.0, 30.0)


def test_both_arms_have_one_macro_average_and_the_table_tells_them_apart():
    one, other = (POOLS[0].arms[place].macro for place in (2, 3))
    assert abs(one - other) < 1
    assert task_markdown(gather_tasks(POOLS)).splitlines()[2:] == [
        "| arm | logic | contrary |",
        "|---|---|---|",
        "| zero_shot | 10.0 | 12.0 |",
        "| less round_robin_floor | 82.0 (30.0) | 1.0 (0.0) |",
        "| less round_robin | 41.0 (20.0) | 42.0 (10.0) |",
    ]


def test_pools_without_conflict_have_no_such_table():
    assert CONFLICTING == ("conflicting",)
    assert task_markdown(gather_tasks([Pool("noisy", 0, POOLS[0].arms)])) == ""
