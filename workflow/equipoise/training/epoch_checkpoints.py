"""The epoch checkpoints of a warm-up: when they are written, which of them count, and the manifests that vouch for them.

An epoch's checkpoint is written at the end of its last step, before the Trainer's own checkpoint of that step: whenever one of those is
whole, the epochs that ended by then are there. What a kill, a damaged disk or an earlier configuration left is made good or removed.
"""

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.layout import epoch_label
from equipoise.modelling.checkpoint import adapted_patterns, gather, save_checkpoint, whole_state
from equipoise.progress import log
from equipoise.store.artefact import publish
from equipoise.training.schedule import mean_learning_rate

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase, TrainerCallback


class EpochCheckpoints:
    """Those of one warm-up of `config`, by its seed, whose inputs have the fingerprint `identity`."""

    def __init__(self, config: Experiment, identity: str, seed: int = 0):
        self._config, self._layout, self._identity, self._seed = config, config.layout, identity, seed
        self._epochs = range(1, config.warmup.epochs + 1)
        self._folder = Path(self._layout.checkpoint(1)).parent

    def _path(self, epoch: int) -> str:
        return self._layout.checkpoint(epoch_label(epoch, self._seed))

    def missing(self) -> list[int]:
        """Epochs without a whole checkpoint made from our inputs."""
        return [epoch for epoch in self._epochs if self._state(epoch) is None]

    def _state(self, epoch: int) -> dict[str, Any] | None:
        return whole_state(self._path(epoch), self._identity)

    def remove_others(self) -> None:
        """Removes every manifest of this warm-up, and then its parts, damaged checkpoints and those of another fingerprint."""
        name = re.escape(str(epoch_label("EPOCH", self._seed))).replace("EPOCH", r"\d+")
        ours = [path for path in self._folder.glob("*") if re.fullmatch(rf"epoch-{name}(\.json)?|\.epoch-{name}\.part", path.name)]
        for manifest in ours:
            if manifest.suffix == ".json":
                manifest.unlink()
        kept = [Path(self._path(epoch)) for epoch in self._epochs if self._state(epoch)]
        for folder in ours:
            if folder.is_dir() and folder not in kept:
                shutil.rmtree(folder)

    def saver(self, model: "PeftModel", tokenizer: "PreTrainedTokenizerBase", per_epoch: int) -> "TrainerCallback":
        """The callback of the Trainer that writes them. per_epoch: optimizer steps."""
        from transformers import TrainerCallback

        from equipoise.training.sharding import is_sharded

        checkpoints = self

        class EpochSaver(TrainerCallback):
            def on_train_begin(self, args, state, control, optimizer=None, **kwargs):
                """Leaves what belongs to the resumed state: later epochs will come again, one that ends right here is written from it."""
                epoch = checkpoints._ends(state.global_step, per_epoch)
                if not state.is_world_process_zero:
                    if epoch and is_sharded(model):
                        self.on_step_end(args, state, control, optimizer=optimizer)
                    return
                for epoch in checkpoints._epochs[state.global_step // per_epoch :]:
                    shutil.rmtree(checkpoints._path(epoch), ignore_errors=True)
                epoch = checkpoints._ends(state.global_step, per_epoch)
                if epoch and (is_sharded(model) or checkpoints._state(epoch) is None):
                    self.on_step_end(args, state, control, optimizer=optimizer)

            def on_step_end(self, args, state, control, optimizer=None, **kwargs):
                epoch = checkpoints._ends(state.global_step, per_epoch)
                inner = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
                gathered = gather(model, inner) if epoch and is_sharded(model) else None
                if epoch and state.is_world_process_zero:
                    checkpoints._save(epoch, model, tokenizer, inner, state.global_step, per_epoch, gathered)

        return EpochSaver()

    @staticmethod
    def _ends(step: int, per_epoch: int) -> int:
        """The epoch that ends with `step`, or 0."""
        return 0 if step % per_epoch else step // per_epoch

    def _save(self, epoch: int, model, tokenizer, optimizer, step: int, per_epoch: int, gathered) -> None:
        rate = mean_learning_rate(self._config.training, epoch, per_epoch, len(self._epochs))
        folder = self._path(epoch)
        save_checkpoint(folder, model, tokenizer, optimizer, epoch, step, rate, self._identity, gathered)
        log(f"epoch {epoch}: step {step}, mean learning rate {rate:.3g} -> {folder}")

    def write_manifests(self) -> None:
        """Writes every epoch's manifest. Raises `UserError` for a checkpoint that is not whole or not ours."""
        for epoch in self._epochs:
            folder, state = Path(self._path(epoch)), self._state(epoch)
            if state is None:
                raise UserError(f"{folder}: damaged or replaced since it was written; run warm_up again")
            publish(
                self._config,
                "checkpoint",
                {"epoch": epoch_label(epoch, self._seed)},
                [folder / name for name in (*state["files"], "state.json")],
                epoch=epoch,
                step=state["step"],
                mean_learning_rate=state["mean_learning_rate"],
                adapted=adapted_patterns(folder),
                fingerprint=self._identity,
            )
