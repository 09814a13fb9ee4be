"""The study in two parts that chooses and then judges: candidates on pools 0 to 2, and one final comparison on pools 3 to 7.

What the final comparison holds is chosen by a rule from the candidates' scores alone, written before either was run: the three estimators
with the highest mean macro average over `FIXED`, beside `less`; the candidate selector with the highest over those four estimators; the two
best baselines. Pools 3 to 7 were looked at by nobody before, so they are for once: a second run is refused.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.estimators import ESTIMATORS
from equipoise.files import write_text
from equipoise.miniature.generated_pool import PROFILES
from equipoise.progress import log
from equipoise.selectors import BASELINE, SELECTORS
from equipoise.study.study import Study, as_csv, fill_in, run_study
from equipoise.study.tables import Made, Pool, differences, differences_markdown, gather, macros, markdown
from equipoise.study.task_tables import tables

REFERENCE, STUDIED = "less", "bids"
FIXED = ("task_max", "sum", STUDIED, "round_robin")
CANDIDATES = ("round_robin_floor", "bids_sum", "bids_task", "task_quota")
ANCHORS = ("random", "rds_plus", "oracle")
BASELINES = tuple(entry.name for entry in SELECTORS if entry.color == BASELINE)
BUDGETS, SEEDS = (0.05, 0.1), (0,)
FURTHER, KEPT_BASELINES = 3, 2
DOCUMENT = Path("docs/results.md")

CANDIDATE_STUDY = Study(
    profiles=tuple(PROFILES),
    pool_seeds=(0, 1, 2),
    estimators=tuple(entry.name for entry in ESTIMATORS),
    selectors=("random", *FIXED, *CANDIDATES, "rds_plus", *BASELINES, "oracle"),
    budgets=BUDGETS,
    seeds=SEEDS,
    name="candidates",
)


@dataclass(frozen=True)
class Chosen:
    """What the candidates' scores chose."""

    estimators: tuple[str, ...]
    selector: str
    baselines: tuple[str, ...]

    @property
    def study(self) -> Study:
        """The final comparison."""
        selectors = ("random", *FIXED, self.selector, "rds_plus", *self.baselines, "oracle")
        return Study(tuple(PROFILES), (3, 4, 5, 6, 7), self.estimators, selectors, BUDGETS, SEEDS, "final")


def choose(pools: Sequence[Pool]) -> Chosen:
    """By the rule above; among equals the first in the registries' order."""
    values = [macros(pool) for pool in pools]

    def mean(estimators: Iterable[str], names: Iterable[str]) -> float:
        estimators, names = tuple(estimators), tuple(names)
        return fmean(v for each in values for (e, name, _), v in each.items() if e in estimators and name in names)

    others = [name for name in CANDIDATE_STUDY.estimators if name != REFERENCE]
    best = sorted(others, key=lambda name: -mean([name], FIXED))[:FURTHER]
    estimators = (REFERENCE, *best)
    selector = max(CANDIDATES, key=lambda name: mean(estimators, [name]))
    return Chosen(estimators, selector, tuple(sorted(BASELINES, key=lambda name: -mean([""], [name]))[:KEPT_BASELINES]))


def run_candidates(base: Experiment, cores: int) -> Made:
    """Runs the candidates, writes what they chose beside their tables, and returns both."""
    pools = run_study(base, CANDIDATE_STUDY, cores)
    chosen = choose(pools)
    write_text(_chosen_path(base), json.dumps(asdict(chosen), indent=1) + "\n")
    fill_in(DOCUMENT, "candidates", markdown(gather(pools)))
    found = tables(pools)
    return Made(f"{found.text}\nchosen for the final comparison: {chosen}\n", found.values | {"chosen": asdict(chosen)})


def run_final(base: Experiment, cores: int, again: bool) -> Made:
    """Runs the final comparison, or goes on with it, and returns its tables.

    Raises `UserError` before the candidates have chosen; and, unless `again`, where it has been finished or was begun with other arms.
    """
    path = _chosen_path(base)
    if not path.exists():
        raise UserError(f"{path}: missing; run the candidates first: equipoise miniature study --candidates")
    content = json.loads(path.read_text(encoding="utf-8"))
    chosen = Chosen(tuple(content["estimators"]), content["selector"], tuple(content["baselines"]))
    folder = chosen.study.folder(base)
    begun, finished = folder / "chosen.json", folder / "differences.csv"
    said = json.dumps(asdict(chosen), indent=1) + "\n"
    if not again:
        _refuse_second(begun, finished, said)
    write_text(begun, said)
    pools = run_study(base, chosen.study, cores)
    made = differences(pools, compared_arms(chosen))
    text = f"{markdown(gather(pools))}\n{differences_markdown(made)}"
    rows = [vars(each) | {"arm": " ".join(each.arm), "other": " ".join(each.other)} | each.by_profile for each in made]
    write_text(finished, as_csv([{key: value for key, value in row.items() if key != "by_profile"} for row in rows]))
    fill_in(DOCUMENT, "final", text)
    found = tables(pools, differences_markdown(made))
    return Made(found.text, found.values | {"differences": [asdict(each) for each in made]})


def compared_arms(chosen: Chosen) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Every estimator against `less` with the same selector, every selector against `bids` on the same estimator, and all that reads no
    influence against `bids` on `less`."""
    names = (*FIXED, chosen.selector)
    estimators = [((each, name), (REFERENCE, name)) for each in chosen.estimators[1:] for name in names]
    selectors = [((each, name), (each, STUDIED)) for each in chosen.estimators for name in names if name != STUDIED]
    others = [(("", name), (REFERENCE, STUDIED)) for name in (*ANCHORS, *chosen.baselines)]
    return [*estimators, *selectors, *others]


def _chosen_path(base: Experiment) -> Path:
    return CANDIDATE_STUDY.folder(base) / "chosen.json"


def _refuse_second(begun: Path, finished: Path, said: str) -> None:
    advice = "its pools are for one comparison; --again makes it once more, and the documents must then say that it was"
    if finished.exists():
        raise UserError(f"{finished}: the final comparison has been made; {advice}")
    if begun.exists() and begun.read_text(encoding="utf-8") != said:
        raise UserError(f"{begun}: the final comparison was begun with other arms than the candidates choose now; {advice}")
    if begun.exists():
        log(f"study: goes on with the final comparison of {begun}")
