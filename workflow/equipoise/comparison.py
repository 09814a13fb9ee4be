"""What the estimators are compared by: the candidates, and every fine-tuning that is made for them, from the configuration alone.

All candidates share the random subsets and the random choices of rows; only the fine-tunings without a candidate's most helpful rows, or
with these alone, are its own. The retrainings of a group are one job under `jobs.runs: together`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.collecting import has_all_rows
from equipoise.config import Experiment
from equipoise.config_gradients import NAMES
from equipoise.selectors import MATRICES

RANDOM = "random"
SUBSET, WITHOUT, ONLY = "subset", "without", "only"


@dataclass(frozen=True)
class Candidate:
    """What ranks pool rows by what they are worth to validation examples.

    estimator: whose matrix it is; matrix: one of hidden states; column: of the pool's gradient store at the first warm-up's last
    epoch, one number a row for all validation examples. None of them: random numbers.
    """

    name: str
    label: str
    estimator: str | None = None
    matrix: str | None = None
    column: str | None = None

    @property
    def by_task(self) -> bool:
        """Whether it tells tasks apart."""
        return bool(self.estimator or self.matrix)


BASELINES = (
    Candidate("rds", "RDS", matrix=MATRICES[1]),
    Candidate("rds_plus", "RDS+", matrix=MATRICES[2]),
    Candidate("gradient_norm", "norm of the row", column="norm"),
    Candidate("loss", "loss of the row", column="loss"),
    Candidate("length", "length of the response", column="tokens"),
    Candidate(RANDOM, "random numbers"),
)


@dataclass(frozen=True)
class Retraining:
    """One fine-tuning. kind: on a subset, without or only with `share` of the pool; of: a candidate's most helpful rows, or random ones.

    number: of the subset or random choice. task: whose most helpful rows; empty where a candidate does not tell tasks apart.
    """

    kind: str
    seed: int
    of: str = RANDOM
    share: float = 0.0
    number: int = 0
    task: str = ""

    @property
    def group(self) -> str:
        """The job that makes it under `jobs.runs: together`."""
        return f"subsets-seed-{self.seed}" if self.kind == SUBSET else f"rows-{self.of}"

    @property
    def name(self) -> str:
        """Within its group."""
        if self.kind == SUBSET:
            return f"subset-{self.number:03d}"
        which = f"draw-{self.number}" if self.of == RANDOM else self.task or "all"
        return f"{self.kind}-{self.share:g}-{which}-seed-{self.seed}"


def compared(config: Experiment) -> list[Experiment]:
    """The experiment, and where estimators are compared the same one with each of the others: their stores and matrices lie beside it."""
    others = [name for name in config.validation.estimators if name != config.gradients.estimator]
    return [config, *(config.model_copy(update={"gradients": config.gradients.of(name)}) for name in others)]


def estimated_by(config: Experiment, name: str) -> Experiment:
    """The one of `compared` with this estimator; the experiment itself for an empty name."""
    return next(each for each in compared(config) if name in ("", each.gradients.estimator))


def candidates(config: Experiment) -> list[Candidate]:
    """What is compared, the experiment's own estimator first, then the other estimators, then the baselines; none without a comparison."""
    if not config.validation.estimators:
        return []
    names = [each.gradients.estimator for each in compared(config)]
    baselines = [each for each in BASELINES if not each.column or column_source(config)]
    return [*(Candidate(name, NAMES[name], estimator=name) for name in names), *baselines]


def column_source(config: Experiment) -> Experiment | None:
    """The first of `compared` whose stores hold every row of the pool, with its norm, loss and length; none where none does."""
    return next((each for each in compared(config) if has_all_rows(each)), None)


def candidate(config: Experiment, name: str) -> Candidate:
    """The candidate called `name`."""
    (found,) = (each for each in candidates(config) if each.name == name)
    return found


def removal_tasks(config: Experiment) -> list[str]:
    """Tasks whose most helpful rows are taken, in config order."""
    return [task for task in config.tasks if task in (config.validation.removal.tasks or config.tasks)]


def retrainings(config: Experiment) -> list[Retraining]:
    """Every fine-tuning of the validation: the subsets by seed, random rows, then every candidate's rows."""
    compares = candidates(config)
    if not compares:
        return []
    subsets, removal = config.validation.subsets, config.validation.removal
    made = [Retraining(SUBSET, seed, number=number) for seed in subsets.seeds for number in range(subsets.count)]
    kinds = [(WITHOUT, share) for share in removal.without] + [(ONLY, share) for share in removal.only]
    for kind, share in kinds:
        made += [Retraining(kind, seed, share=share, number=number) for seed in removal.seeds for number in range(removal.draws)]
    for each in compares:
        tasks: Sequence[str] = [] if each.name == RANDOM else removal_tasks(config) if each.by_task else [""]
        made += [Retraining(kind, s, each.name, share, task=task) for kind, share in kinds for s in removal.seeds for task in tasks]
    return made


def groups(config: Experiment) -> dict[str, list[Retraining]]:
    """The retrainings by group, in order."""
    found: dict[str, list[Retraining]] = {}
    for each in retrainings(config):
        found.setdefault(each.group, []).append(each)
    return found


def group_matrices(config: Experiment, group: str) -> list[str]:
    """Manifests of what the rows of a group's retrainings are chosen by; none for random ones."""
    of = groups(config)[group][0].of
    if of == RANDOM:
        return []
    return candidate_files(config, candidate(config, of))


def candidate_files(config: Experiment, each: Candidate) -> list[str]:
    """Manifests of what a candidate's predictions are read from."""
    if each.estimator or each.matrix:
        of = next((one for one in compared(config) if one.gradients.estimator == each.estimator), config)
        return [of.layout.matrix_manifest(each.matrix or MATRICES[0])]
    return [column_source(config).layout.matrix_manifest(MATRICES[0])] if each.column else []
