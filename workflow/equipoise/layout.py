"""Where every file of an experiment lies. Used by the rules (with `{wildcards}` as arguments) and by the stages (with values)."""

import re
from dataclasses import dataclass

from equipoise.budgets import Budget, budget_label
from equipoise.errors import UserError
from equipoise.selectors import selector

CHUNK_ROWS = 1024
"""Rows in a chunk of every store and matrix, and in a partial sum of column moments: what one job writes as a whole."""


Epoch = int | str
"""An epoch checkpoint, as in paths: the number of its epoch, from 1, and behind it the seed of its warm-up where that is not 0."""
EPOCH = r"\d+(?:-seed-[1-9]\d*)?"
"""What such names look like."""


def epoch_label(epoch: int | str, seed: int) -> Epoch:
    """The name of the checkpoint that an epoch of a seed's warm-up leaves: 2, or 2-seed-7."""
    return f"{epoch}-seed-{seed}" if seed else epoch


def shard_label(shard: int) -> str:
    """Zero-padded shard number, as in paths."""
    return f"{shard:05d}"


def part_label(part: int | str) -> str:
    """A part of a suite's evaluation, as in paths: a generation seed, or the name of a measure."""
    return f"seed-{part}" if isinstance(part, int) else part


@dataclass(frozen=True)
class Run:
    """One fine-tuning (or the untouched base: selector `zero_shot`) and its evaluation.

    `budget` is a label (`budget_label`), so that a `Run` of wildcard patterns gives path patterns.
    """

    selector: str
    selection_seed: int | str
    budget: str
    epochs: int | str
    seed: int | str

    @property
    def path(self) -> str:
        return f"{self.selector}/selection-{self.selection_seed}/budget-{self.budget}/epochs-{self.epochs}/seed-{self.seed}"

    @property
    def trained(self) -> bool:
        """Whether it fine-tunes an adapter; the untouched base does not."""
        return selector(self.selector).trains

    @classmethod
    def parse(cls, path: str) -> "Run":
        """The run of a `path`. Raises `UserError` for anything else."""
        match = re.fullmatch(r"([a-z_]+)/selection-(\d+)/budget-([0-9.]+)/epochs-(\d+)/seed-(\d+)", path)
        if not match:
            raise UserError(f"run {path!r}: write it as selector/selection-0/budget-0.1/epochs-2/seed-0")
        name, selection_seed, budget, epochs, seed = match.groups()
        return cls(name, int(selection_seed), budget, int(epochs), int(seed))


@dataclass(frozen=True)
class Layout:
    """Paths below `root` = <results>/<experiment>/<model name>, all as text.

    place: below `root`, where all that is made with an estimator lies that is not the experiment's own (`estimators/<name>/`).
    """

    results: str
    experiment: str
    model: str
    place: str = ""

    @property
    def experiment_root(self) -> str:
        return f"{self.results}/{self.experiment}"

    @property
    def root(self) -> str:
        return f"{self.experiment_root}/{self.model}"

    @property
    def config(self) -> str:
        return f"{self.experiment_root}/config.yaml"

    @property
    def fetch_manifest(self) -> str:
        """What was fetched from the hub: ids, revisions, commits."""
        return f"{self.experiment_root}/fetch.json"

    @property
    def report(self) -> str:
        return f"{self.experiment_root}/report"

    @property
    def partial_report(self) -> str:
        """What `report --partial` makes of the runs that are finished."""
        return f"{self.experiment_root}/report-partial"

    @property
    def verdict(self) -> str:
        """The report's answer in a sentence, which a run ends with."""
        return f"{self.report}/verdict.txt"

    # pool and targets
    @property
    def pool(self) -> str:
        return f"{self.root}/pool/pool.parquet"

    @property
    def base_manifest(self) -> str:
        """What `check_base` found: the base's class, its attention, where the adapter is."""
        return f"{self.root}/base.json"

    @property
    def pool_manifest(self) -> str:
        return f"{self.root}/pool/manifest.json"

    def pool_scores(self, column: str) -> str:
        """Store of the pool's losses under the untuned base, `column` one of `selectors.SCORED`."""
        return f"{self.root}/pool/scores/{column}/store"

    def pool_scores_manifest(self, column: str, shard: str) -> str:
        return f"{self.root}/pool/scores/{column}/shard-{shard}.json"

    @property
    def contamination(self) -> str:
        """Which rows of the pool's source share words with test items."""
        return f"{self.root}/pool/contamination.json"

    def target(self, task: str) -> str:
        return f"{self.root}/targets/{task}/validation.parquet"

    def target_manifest(self, task: str) -> str:
        return f"{self.root}/targets/{task}/manifest.json"

    # warm-up
    def checkpoint(self, epoch: Epoch) -> str:
        """Folder of an epoch checkpoint: adapter_model.safetensors, adapter_config.json, tokenizer, moments.safetensors, state.json."""
        return f"{self.root}/warmup/epoch-{epoch}"

    def checkpoint_manifest(self, epoch: Epoch) -> str:
        return f"{self.root}/warmup/epoch-{epoch}.json"

    # what an estimator fits at an epoch: curvature, kernel
    def curvature(self, epoch: Epoch) -> str:
        """Folder of what `fit_curvature` leaves; which files, its manifest says."""
        return f"{self.root}/{self.place}curvature/epoch-{epoch}"

    def curvature_manifest(self, epoch: Epoch) -> str:
        return f"{self.root}/{self.place}curvature/epoch-{epoch}.json"

    # gradient stores
    @property
    def projection_manifest(self) -> str:
        """What `choose_dimension` chose (`gradients.projection.dimension: auto`)."""
        return f"{self.root}/{self.place}gradients/projection.json"

    def pool_gradients(self, epoch: Epoch) -> str:
        """Gradient store of the whole pool at an epoch (each shard's job writes its own rows)."""
        return f"{self.root}/{self.place}gradients/pool/epoch-{epoch}/store"

    def pool_gradients_manifest(self, epoch: Epoch, shard: str) -> str:
        return f"{self.root}/{self.place}gradients/pool/epoch-{epoch}/shard-{shard}.json"

    def target_gradients(self, epoch: Epoch, task: str) -> str:
        return f"{self.root}/{self.place}gradients/targets/epoch-{epoch}/{task}/store"

    def target_gradients_manifest(self, epoch: Epoch, task: str) -> str:
        return f"{self.root}/{self.place}gradients/targets/epoch-{epoch}/{task}.json"

    # states without gradients, by forward passes alone
    def pool_states(self, epoch: Epoch) -> str:
        """Store of the whole pool's states at an epoch."""
        return f"{self.root}/states/pool/epoch-{epoch}/store"

    def pool_states_manifest(self, epoch: Epoch, shard: str) -> str:
        return f"{self.root}/states/pool/epoch-{epoch}/shard-{shard}.json"

    def target_states(self, epoch: Epoch, task: str) -> str:
        return f"{self.root}/states/targets/epoch-{epoch}/{task}/store"

    def target_states_manifest(self, epoch: Epoch, task: str) -> str:
        return f"{self.root}/states/targets/epoch-{epoch}/{task}.json"

    # attribution: `matrix` is influence, last_token or position_weighted
    def matrix(self, matrix: str) -> str:
        return f"{self.root}/{self.place}attribution/{matrix}/matrix.zarr"

    def matrix_shard_manifest(self, matrix: str, shard: str) -> str:
        return f"{self.root}/{self.place}attribution/{matrix}/shard-{shard}.json"

    def matrix_manifest(self, matrix: str) -> str:
        return f"{self.root}/{self.place}attribution/{matrix}/manifest.json"

    # trials of the estimators
    def one_step(self, epoch: Epoch) -> str:
        """Folder of the losses after single optimizer steps."""
        return f"{self.root}/validation/one_step/epoch-{epoch}"

    def one_step_manifest(self, epoch: Epoch) -> str:
        return f"{self.root}/validation/one_step/epoch-{epoch}.json"

    def retraining(self, group: str, name: str) -> str:
        """Losses of the validation examples after one fine-tuning (see `retrainings.py`)."""
        return f"{self.root}/validation/retrainings/{group}/{name}.json"

    def retraining_group(self, group: str) -> str:
        """Written last by the one job that makes all retrainings of a group (`jobs.runs: together`)."""
        return f"{self.root}/validation/retrainings/{group}.json"

    @property
    def validation(self) -> str:
        """What estimators are worth: a manifest with every number of the tables."""
        return f"{self.root}/validation/validation.json"

    @property
    def validation_points(self) -> str:
        """Predicted and true effects that the figures show, safetensors."""
        return f"{self.root}/validation/points.safetensors"

    @property
    def influence_model(self) -> str:
        """The model that predicts influence from states."""
        return f"{self.root}/{self.place}attribution/model/model.safetensors"

    @property
    def influence_model_manifest(self) -> str:
        return f"{self.root}/{self.place}attribution/model/manifest.json"

    # selection
    def ranking(self, selector: str, selection_seed: int | str) -> str:
        return f"{self.root}/{self.place}ranking/{selector}/selection-{selection_seed}.parquet"

    def ranking_manifest(self, selector: str, selection_seed: int | str) -> str:
        return f"{self.root}/{self.place}ranking/{selector}/selection-{selection_seed}.json"

    def selection(self, selector: str, selection_seed: int | str, budget: str | Budget) -> str:
        label = budget if isinstance(budget, str) else budget_label(budget)
        return f"{self.root}/{self.place}selection/{selector}/selection-{selection_seed}/budget-{label}.jsonl"

    def selection_manifest(self, selector: str, selection_seed: int | str, budget: str | Budget) -> str:
        return self.selection(selector, selection_seed, budget).removesuffix("l")

    # runs
    def run(self, run: Run) -> str:
        return f"{self.root}/{self.place}runs/{run.path}"

    def adapter(self, run: Run) -> str:
        return f"{self.run(run)}/adapter"

    def run_manifest(self, run: Run) -> str:
        return f"{self.run(run)}/manifest.json"

    def scores(self, run: Run, suite: str, part: int | str) -> str:
        """part: a generation seed, or the name of a measure that draws nothing."""
        return f"{self.run(run)}/evaluation/{suite}/{part_label(part)}.json"

    def samples(self, run: Run, suite: str, part: int | str) -> str:
        return f"{self.run(run)}/evaluation/{suite}/{part_label(part)}.samples.jsonl"

    def fold_manifest(self, selector: str, selection_seed: int | str) -> str:
        """Written last by the one job that makes all runs on a selector's selections by one seed (`jobs.runs: together`)."""
        return f"{self.root}/{self.place}runs/{selector}/selection-{selection_seed}/fold.json"
