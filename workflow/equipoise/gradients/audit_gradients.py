"""`equipoise audit_gradients`: stored rows against rows computed one example at a time by plain autograd in fp32."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equipoise.collecting import is_predicted, sampled_rows
from equipoise.config import Experiment
from equipoise.config_keys import UNQUANTISED
from equipoise.data.encoding import encode_file
from equipoise.errors import UserError
from equipoise.estimators import row_estimator
from equipoise.layout import Epoch
from equipoise.modelling.adapter import load_adapter
from equipoise.modelling.base import load_base, load_tokenizer, resolve_device
from equipoise.modelling.quantised import dequantised
from equipoise.store.artefact import open_artefact
from equipoise.store.gradients import VALID, GradientReader, open_pool_rows


@dataclass(frozen=True)
class Audited:
    """One row: cosine of the stored direction with the recomputed one, and stored over recomputed norm and loss."""

    row: int
    cosine: float
    norm_ratio: float
    loss_ratio: float


def audit(config: Experiment, epoch: Epoch, task: str | None, rows: int, seed: int) -> list[Audited]:
    """Recomputes `rows` valid rows, drawn by seed, of the pool's store (or of a task's) at an epoch, in row order.

    The model is the unmodified PEFT model in fp32 (a quantised base dequantised), one example at a time; the estimator says how a row is
    made from autograd's gradients.
    Raises `UserError` for a store without valid rows.
    """
    reader, data = _open(config, epoch, task)
    drawn = _drawn_rows(reader, rows, seed)
    folder = str(open_artefact(config, "checkpoint", epoch=epoch).folder())
    longest = config.model.max_length if task is None else config.targets.longest(config.model)
    sampled = task is None and is_predicted(config)
    chosen = sampled_rows(config, open_artefact(config, "pool")["rows"]) if sampled else None
    examples = encode_file(data, load_tokenizer(config.model), longest, last_turn=config.training.last_turn, chosen=chosen)
    # what a quantised base has become depends on the format that it was quantised from
    precision = "fp32" if config.model.quantisation == UNQUANTISED else config.gradients.precision
    base = dequantised(load_base(config.model, precision, resolve_device(config.model.device)))
    model = load_adapter(base, folder)
    recompute = row_estimator(config.gradients).load()(config).recompute(model, "pool" if task is None else "target", epoch)
    return [_audited(*recompute(examples[row]), reader, row) for row in drawn]


def _open(config: Experiment, epoch: Epoch, task: str | None) -> tuple[GradientReader, Path]:
    """The store of the pool or of a task, and the file of its examples."""
    if task is None:
        return open_pool_rows(config, epoch), open_artefact(config, "pool").only_file()
    part, file = open_artefact(config, "target_gradients", epoch=epoch, task=task), open_artefact(config, "targets", task=task).only_file()
    return GradientReader(config.layout.target_gradients(epoch, task), [part], part["rows"][1]), file


def _drawn_rows(reader: GradientReader, rows: int, seed: int) -> list[int]:
    valid = np.flatnonzero(reader.read_column("status", 0, reader.rows) == VALID)
    if not len(valid):
        raise UserError(f"{reader.path}: has no valid row to audit")
    return sorted(np.random.Generator(np.random.PCG64(seed)).choice(valid, min(rows, len(valid)), replace=False).tolist())


def _audited(expected: np.ndarray, loss: float, reader: GradientReader, row: int) -> Audited:
    stored = reader.read(row, row + 1)
    direction = stored.directions[0].astype(np.float64)
    norm = np.linalg.norm(expected)
    cosine = float(expected @ direction / (norm * np.linalg.norm(direction)))
    return Audited(row, cosine, float(stored.norm[0] / norm), float(stored.loss[0] / loss))
