"""The stage measure_one_step: losses of all validation examples after single steps at an epoch, each on one pool row.

In `Layout.one_step` lie parts of `PART` rows, each with a record, so that a job that was killed goes on; their manifest is written last.
A part holds `after` float64 [rows, V]; `start` holds `before` and `without_gradient`, float64 [V].
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from equipoise.config import Experiment
from equipoise.curvature.fit import Parts
from equipoise.determinants import determinants
from equipoise.gradients.adam import load_moments, moments_identity
from equipoise.layout import Epoch
from equipoise.modelling.adapter import load_adapter
from equipoise.modelling.base import load_base, load_tokenizer, resolve_device
from equipoise.modelling.checkpoint import adapter_identity, swap_adapter
from equipoise.progress import log, track
from equipoise.store.artefact import is_made, open_artefact, publish
from equipoise.store.manifest import fingerprint
from equipoise.training.training_set import pool_examples
from equipoise.validation.drawing import one_step_rows
from equipoise.validation.examples import trial_inputs, usable_rows, validation_examples

if TYPE_CHECKING:
    from peft import PeftModel

    from equipoise.validation.one_step import OneStep

KIND = "one_step"
PART, BATCH_SIZE = 20, 64
START = "start"


def measure_one_step(config: Experiment, epochs: list[Epoch]) -> None:
    """Leaves parts and manifest of every epoch; what is whole and of the same inputs is left alone.

    Raises `UserError` for missing inputs.
    """
    steps = _Steps(config)
    for epoch in epochs:
        _measure(config, epoch, steps)


def _measure(config: Experiment, epoch: Epoch, steps: "_Steps") -> None:
    layout, identity = config.layout, one_step_fingerprint(config, epoch)
    rows = one_step_rows(usable_rows(config), config.validation.one_step.rows, config.seed)
    parts = Parts(Path(layout.one_step(epoch)), identity)
    manifest = Path(layout.one_step_manifest(epoch))
    made = is_made(config, KIND, epoch=epoch)
    if made is not None and (made["fingerprint"], made["rows"]) == (identity, rows.tolist()):
        log(f"{manifest}: already there")
        return
    manifest.unlink(missing_ok=True)
    if parts.finished(START) is None:
        at = steps.at(epoch)
        parts.write(START, {"before": at.before(), "without_gradient": at.without_gradient()})
    starts = range(0, len(rows), PART)
    for start in track(starts, f"single steps, epoch {epoch}", len(rows), "rows", lambda start: len(rows[start : start + PART])):
        if parts.finished(part_name(start)) is None:
            parts.write(part_name(start), {"after": np.array(list(steps.at(epoch).after(steps.examples(rows[start : start + PART]))))})
    files = [parts.path(name) for name in parts.names]
    publish(config, KIND, {"epoch": epoch}, files, rows=rows.tolist(), fingerprint=identity)


@dataclass(frozen=True)
class Measured:
    """Losses of V validation examples: before, [V]; without_gradient, after the step with a gradient of zero, [V]; after, [n, V].

    rows: of the pool, [n].
    """

    rows: np.ndarray
    before: np.ndarray
    without_gradient: np.ndarray
    after: np.ndarray


def read_one_step(config: Experiment, epoch: Epoch) -> Measured:
    """What was measured at an epoch. Raises `UserError` where it is missing or damaged."""
    from safetensors.numpy import load_file

    manifest = open_artefact(config, KIND, epoch=epoch)
    arrays = {name.rpartition("/")[2]: load_file(manifest.file(name)) for name in manifest.files}
    start = arrays.pop(f"{START}.safetensors")
    after = np.concatenate([arrays[name]["after"] for name in sorted(arrays)])
    return Measured(np.array(manifest["rows"]), start["before"], start["without_gradient"], after)


def part_name(start: int) -> str:
    """The part whose first row, of those drawn, is `start`."""
    return f"rows-{start:05d}"


def one_step_fingerprint(config: Experiment, epoch: Epoch) -> str:
    """What the losses after steps at an epoch depend on."""
    checkpoint = open_artefact(config, "checkpoint", epoch=epoch)
    determined = {
        "config": determinants(config, "measure_one_step"),
        "adapter": adapter_identity(checkpoint.folder()),
        "moments": moments_identity(checkpoint.folder()),
        "rate": checkpoint["mean_learning_rate"],
    }
    return fingerprint(trial_inputs(config) | determined)


class _Steps:
    """The model in float64, taken to one epoch after the other; loaded when first asked for."""

    def __init__(self, config: Experiment):
        self._config = config
        self._epoch, self._folder, self._step = 0, Path(), None

    @cached_property
    def _tokenizer(self):
        return load_tokenizer(self._config.model)

    @cached_property
    def _model(self) -> "PeftModel":
        base = load_base(self._config.model, "fp32", resolve_device(self._config.model.device))
        return load_adapter(base, self._folder).double()

    def examples(self, rows: np.ndarray):
        """Pool rows as tokens."""
        return pool_examples(self._config, self._tokenizer, open_artefact(self._config, "pool").only_file(), rows.tolist())

    def at(self, epoch: Epoch) -> "OneStep":
        """Steps from an epoch's checkpoint."""
        from equipoise.validation.one_step import OneStep

        if self._step is None or self._epoch != epoch:
            config, checkpoint = self._config, open_artefact(self._config, "checkpoint", epoch=epoch)
            self._epoch, self._folder, rate = epoch, checkpoint.folder(), checkpoint["mean_learning_rate"]
            swap_adapter(self._model, self._folder)
            validation = validation_examples(config, self._tokenizer)
            moments = load_moments(self._folder, self._model)
            self._step = OneStep(self._model, moments, rate, config.training.weight_decay, validation, BATCH_SIZE)
        return self._step
