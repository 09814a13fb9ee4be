"""The stage retrain: fine-tunes a fresh adapter on some pool rows and keeps what it makes of the validation examples' losses.

A retraining leaves one manifest (kind `retraining`): rows (how many, and a digest), losses (nats a token, of every validation example, or
null with `failed` where the training did not stay finite), fingerprint. It is trained as the experiment's fine-tunings are.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from equipoise.comparison import Retraining, candidate, groups
from equipoise.config import Experiment
from equipoise.determinants import determinants
from equipoise.process import first_process
from equipoise.progress import log, track
from equipoise.seeds import derive_seed
from equipoise.store.artefact import is_made, open_artefact, publish
from equipoise.store.manifest import fingerprint
from equipoise.validation.candidates import task_scores
from equipoise.validation.drawing import trained_rows
from equipoise.validation.examples import subset_strata, trial_inputs, usable_rows, validation_examples

if TYPE_CHECKING:
    from equipoise.modelling.chat import Encoded
    from equipoise.modelling.examples import Examples

KIND, GROUP_KIND = "retraining", "retrainings"
BATCH_SIZE = 64


def retrain(config: Experiment, group: str, names: list[str] | None = None, shared: "Shared | None" = None) -> None:
    """Makes the retrainings of a group (names: some of them) that are not there; writes the group's manifest last when it is whole.

    shared: what several groups in one process share. Raises `UserError` for missing inputs.
    """
    layout = config.layout
    members = {each.name: each for each in groups(config)[group]}
    wanted = list(members) if names is None else names
    shared = shared or Shared(config, _shared_folder(config, group, wanted))
    left = {name: int(not Path(layout.retraining(group, name)).exists()) for name in wanted}
    for name in track(wanted, f"retrainings {group}", sum(left.values()), "trainings", left.__getitem__, holds_loops=True):
        _make(config, members[name], shared)
    if first_process() and wanted == list(members):
        made = is_made(config, GROUP_KIND, group=group)
        if made is None or made["members"] != list(members):
            files = [layout.retraining(group, name) for name in members]
            publish(config, GROUP_KIND, {"group": group}, files, members=list(members))


def share_pool_examples(config: Experiment, group: str, names: list[str]) -> None:
    """Encodes the pool for retrainings that several processes make, before these start; `remove_pool_examples` afterwards."""
    from equipoise.training.training_set import share_examples

    shared = Shared(config)
    share_examples(_shared_folder(config, group, names), shared.identity, shared.encode)


def remove_pool_examples(config: Experiment, group: str, names: list[str]) -> None:
    """Removes what `share_pool_examples` left."""
    from equipoise.training.resumption import remove_scratch

    remove_scratch(_shared_folder(config, group, names))


def _shared_folder(config: Experiment, group: str, names: list[str]) -> Path:
    return Path(config.layout.retraining(group, names[0])).with_suffix(".pool")


def read_losses(config: Experiment, each: Retraining) -> np.ndarray:
    """Losses of all validation examples after a retraining, float64 [V]; NaN after one that failed."""
    manifest = open_artefact(config, KIND, group=each.group, name=each.name)
    columns = sum(open_artefact(config, "targets", task=task)["rows"] for task in config.tasks)
    return np.full(columns, np.nan) if manifest["losses"] is None else np.array(manifest["losses"], np.float64)


class Shared:
    """What the retrainings in one process share: base, tokens, the rows that may be trained on."""

    def __init__(self, config: Experiment, folder: Path | None = None):
        """folder: of the pool's tokens, where `share_pool_examples` has left them."""
        self._config, self._folder = config, folder

    @cached_property
    def inputs(self) -> dict[str, object]:
        """For fingerprints, with where the adapter is."""
        from equipoise.modelling.base import adapted_in

        return trial_inputs(self._config) | {"adapted": adapted_in(self._config.model, self._config.lora)}

    @cached_property
    def usable(self) -> np.ndarray:
        return usable_rows(self._config)

    @cached_property
    def strata(self) -> np.ndarray | None:
        return subset_strata(self._config, self.usable)

    @cached_property
    def tokenizer(self):
        from equipoise.modelling.base import load_tokenizer

        return load_tokenizer(self._config.model)

    @cached_property
    def base(self):
        from equipoise.modelling.base import load_base, resolve_device

        return load_base(self._config.model, self._config.model.precision, resolve_device(self._config.model.device))

    @cached_property
    def validation(self) -> "list[Encoded]":
        return validation_examples(self._config, self.tokenizer)

    @cached_property
    def identity(self) -> str:
        """Fingerprint of what the pool's tokens depend on."""
        return fingerprint([self.inputs, determinants(self._config, "retrain")])

    def encode(self) -> "Examples":
        """All usable rows of the pool as tokens."""
        from equipoise.training.training_set import pool_examples

        return pool_examples(self._config, self.tokenizer, open_artefact(self._config, "pool").only_file(), self.usable)

    @cached_property
    def _pool(self) -> "Examples":
        from equipoise.training.training_set import encoded_once

        return self.encode() if self._folder is None else encoded_once(self._folder, self.identity, self.encode)

    def examples(self, rows: np.ndarray) -> "Examples":
        """Pool rows as tokens; the pool is encoded once."""
        return self._pool.take(np.searchsorted(self.usable, rows))


def _make(config: Experiment, each: Retraining, shared: Shared) -> None:
    path = Path(config.layout.retraining(each.group, each.name))
    scores = task_scores(config, candidate(config, each.of), each.task) if each.of != "random" else None
    rows = trained_rows(each, shared.usable, scores, config.validation.subsets.share, config.seed, shared.strata)
    settings = {"config": determinants(config, "retrain"), "epochs": config.finetune.epochs, "seed": each.seed}
    digest = fingerprint(rows.tolist())
    identity = fingerprint([shared.inputs, settings, digest])
    made = is_made(config, KIND, group=each.group, name=each.name)
    if made is not None and made["fingerprint"] == identity:
        log(f"{path}: already there")
        return
    losses, failed = _losses(config, each, rows, identity, shared)
    if first_process():
        said = {"failed": failed} if failed else {}
        of, described = {"group": each.group, "name": each.name}, {"rows": len(rows), "rows_digest": digest}
        publish(config, KIND, of, **described, losses=losses, fingerprint=identity, **said)


def _losses(config: Experiment, each: Retraining, rows: np.ndarray, identity: str, shared: Shared) -> tuple[list[float] | None, str]:
    """Losses after the training, or none and why it failed."""
    from equipoise.evaluation.loss import losses
    from equipoise.modelling.adapter import attach_adapter
    from equipoise.modelling.chat import pad_token
    from equipoise.training.divergence import Diverged
    from equipoise.training.resumption import open_scratch, remove_scratch
    from equipoise.training.trainer import train

    path, title = Path(config.layout.retraining(each.group, each.name)), f"{each.group} {each.name}"
    scratch = path.with_suffix(".trainer")
    if first_process():
        open_scratch(scratch, identity)
    examples, pad_id = shared.examples(rows), pad_token(shared.tokenizer)
    # as a fine-tuning with this seed starts: all retrainings of one seed from the same adapter
    model = attach_adapter(shared.base, config.lora, derive_seed(config.seed, "finetune.adapter", each.seed))
    seed = derive_seed(config.seed, "finetune.data", each.seed)
    try:
        train(config, title, model, examples, pad_id, config.finetune.epochs, seed, scratch, path.with_suffix(".tensorboard"))
        measured = losses(model, shared.validation, BATCH_SIZE, pad_id, title="") if first_process() else None
        if measured is not None and not np.isfinite(measured).all():
            return None, "a loss of a validation example is not finite"
        return measured, ""
    except Diverged as error:
        return None, str(error)
    finally:
        model.unload()
        if first_process():
            remove_scratch(scratch)
