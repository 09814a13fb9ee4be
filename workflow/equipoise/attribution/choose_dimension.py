"""The stage choose_dimension: the least width, a power of two, at which a pilot's matrix has a reliability of `REACHED`.

The pilot is `PILOT` pool rows, drawn by seed, against all validation examples at every epoch that the matrix is made of: the matrix itself,
but for the other rows. It is measured at a first width, the width is foretold by that (Spearman-Brown), measured there, and doubled until
it holds. Where that takes as many numbers as the adapter has, they are kept as they are: no projection, no noise. Nothing of the pilot's
rows is kept.
"""

import math
from collections.abc import Sequence

import numpy as np

from equipoise.attribution.assemble import epoch_weights
from equipoise.attribution.reliability import REACHED, co_moments, half, needed, reliability
from equipoise.config import Experiment
from equipoise.data.encoding import encode_file
from equipoise.data.shards import plan_batches
from equipoise.estimators import row_estimator
from equipoise.experiment import gradient_epochs
from equipoise.gradients.collect import engine_at
from equipoise.gradients.sample import pool_sample
from equipoise.gradients.width import NONE, PILOT, projected_by
from equipoise.modelling.adapter import lora_parameters
from equipoise.modelling.base import load_tokenizer
from equipoise.modelling.chat import Encoded
from equipoise.progress import log, track
from equipoise.store.artefact import open_artefact, publish

LEAST, FIRST = 64, 8192


def choose_dimension(config: Experiment) -> None:
    """Publishes artefact `projection`: projection (the kind), dimension, reliability there (median over columns; null without projection),
    rows of the pilot, and what was measured, by width."""
    pilot = _Pilot(config)
    most, tried = pilot.parameters, {}
    width = min(FIRST, max(LEAST, 2 ** math.floor(math.log2(most / 4))))
    tried[width] = pilot.reliability(width)
    width = 2 ** math.ceil(math.log2(min(most, max(LEAST, width * needed(tried[width], REACHED)))))
    while width < most:
        if width not in tried:
            tried[width] = pilot.reliability(width)
        if tried[width] >= REACHED:
            break
        width *= 2
    said = {"rows": pilot.rows, "measured": {str(each): round(value, 6) for each, value in sorted(tried.items())}}
    if width < most:
        log(f"projection.dimension auto: {width:,} numbers, reliability {tried[width]:.3f} on {pilot.rows} rows")
        kind, reached = config.gradients.projection.kind, round(tried[width], 6)
        publish(config, "projection", {}, projection=kind, dimension=width, reliability=reached, **said)
    else:
        log(f"projection.dimension auto: no projection, as {REACHED:g} takes as many numbers as the adapter has ({most:,})")
        publish(config, "projection", {}, projection=NONE, dimension=most, reliability=None, **said)


class _Pilot:
    """The pilot's examples, and the engine that takes them through the checkpoints."""

    def __init__(self, config: Experiment):
        self._config, tokenizer = config, load_tokenizer(config.model)
        longest, last_turn = config.targets.longest(config.model), config.training.last_turn
        files = [open_artefact(config, "targets", task=task).only_file() for task in config.tasks]
        self._pool = pool_sample(config, PILOT)
        self._targets = [each for file in files for each in encode_file(file, tokenizer, longest, last_turn=last_turn)]
        self._engine = engine_at(config, gradient_epochs(config)[0])
        self.rows = len(self._pool)

    @property
    def parameters(self) -> int:
        """Numbers of the adapter."""
        return sum(parameter.numel() for parameter in lora_parameters(self._engine.model).values())

    def reliability(self, width: int) -> float:
        """Median over columns of the split-half reliability at a width."""
        projection = self._config.gradients.projection.model_copy(update={"dimension": width})
        config = projected_by(self._config, projection)
        entry, epochs = row_estimator(config.gradients), gradient_epochs(config)
        rows, total, first = entry.load()(config), 0.0, 0.0
        for epoch, weight in zip(epochs, epoch_weights(config, epochs), strict=True):
            engine_at(config, epoch, self._engine)
            made = []
            for side, examples in (("pool", self._pool), ("target", self._targets)):
                maker = rows.maker(self._engine, side, epoch)
                made.append(self._made(examples, maker, f"pilot of {width:,} numbers, {side}, epoch {epoch}"))
            if not entry.scaled:
                made = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in made]
            pool, target = made
            total = total + weight * (pool @ target.T)
            first = first + weight * (half(pool) @ half(target).T)
        valid = np.isfinite(total).all(axis=1)
        values = reliability(co_moments(first[valid], (total - first)[valid]))
        return float(np.nanmedian(values))

    def _made(self, examples: Sequence[Encoded], maker, title: str) -> np.ndarray:
        """Rows of examples, float64 [n, width]."""
        found = np.full((len(examples), maker.dimension), np.nan)
        batches = plan_batches([len(example.input_ids) for example in examples], self._config.gradients.token_budget)
        for batch in track(batches, title, len(examples), size=len):
            found[batch] = self._engine.run([examples[i] for i in batch], maker).gradients
        return found
