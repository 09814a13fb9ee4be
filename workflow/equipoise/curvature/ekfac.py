"""Fits EK-FAC's curvature of the adapter's linear maps at an epoch (gradients/ekfac.py), in two passes over a sample of the pool.

The first pass sums x x^T and g g^T over all unpadded positions of all examples: prompt positions carry gradient too, through attention, and
only labels are restricted to completions. The second one takes the mean over examples of (Q_S^T G Q_A)^2. With `labels: sampled` both draw
the same labels, from numbers that depend on seed, epoch and example alone, and G is T^(-1/2) times the sum over the T completion tokens, so
that E[vec G vec G^T] is the Gauss-Newton matrix of the mean loss. Sums are float64.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from equipoise.config import Experiment
from equipoise.curvature.fit import Parts
from equipoise.data.encoding import examples_digest
from equipoise.data.shards import plan_batches
from equipoise.errors import UserError
from equipoise.gradients.capture import Factors, Layer
from equipoise.gradients.collect import engine_at
from equipoise.gradients.ekfac import BASES, EIGENVALUES, Basis
from equipoise.gradients.hashing import stream_key, words
from equipoise.gradients.rows import SLICE_NUMBERS, outer_products
from equipoise.gradients.sample import pool_sample
from equipoise.layout import Epoch
from equipoise.modelling.base import base_identity
from equipoise.modelling.chat import Encoded
from equipoise.progress import log, track

if TYPE_CHECKING:
    from equipoise.gradients.engine import Engine


class _Pass:
    """A pass over examples whose factors are summed up, map by map; it makes no rows."""

    dimension = 0

    def __init__(self, lengths: Sequence[int] = ()):
        """lengths: tokens of the examples of the batch that comes."""
        self.lengths = lengths
        self.refused: set[int] = set()
        self._refused_now: set[int] = set()
        self._count = 0

    def start(self, count: int, device: torch.device) -> None:
        self._count = count

    def take(self, layer: Layer, factors: Factors) -> None:
        """As `RowMaker.take`; an example whose factors are not finite is left out of the map."""
        for name, left, right in ((layer.name_a, factors.g_hidden, factors.x), (layer.name_b, factors.g, factors.hidden)):
            left, right = left.float(), right.float()
            finite = left.isfinite().all(dim=2).all(dim=1) & right.isfinite().all(dim=2).all(dim=1)
            if not finite.all():
                self._refused_now |= set(torch.nonzero(~finite).flatten().tolist())
                left, right = (torch.where(finite[:, None, None], each, 0.0) for each in (left, right))
            self.add(name, layer, left, right)

    def finish(self, loss: np.ndarray) -> np.ndarray:
        return np.zeros((self._count, 0))

    def refused_in_batch(self) -> set[int]:
        """Places in the last batch of examples that some map left out."""
        found, self._refused_now = self._refused_now, set()
        return found

    def add(self, name: str, layer: Layer, left: torch.Tensor, right: torch.Tensor) -> None:
        """Adds output gradients [n, t, out] and inputs [n, t, in], float32."""
        raise NotImplementedError


class Covariances(_Pass):
    """Sums of x x^T and g g^T by map, float64."""

    def __init__(self):
        super().__init__()
        self.inputs: dict[str, torch.Tensor] = {}
        self.outputs: dict[str, torch.Tensor] = {}

    def add(self, name: str, layer: Layer, left: torch.Tensor, right: torch.Tensor) -> None:
        if not layer.routed:  # an expert sees the tokens that came to it, and no padding
            length = torch.tensor(self.lengths, device=right.device)
            right = right * (torch.arange(right.shape[1], device=right.device)[None] < length[:, None])[..., None]
        for sums, factor in ((self.inputs, right), (self.outputs, left)):
            flat = factor.reshape(-1, factor.shape[2])
            product = (flat.T @ flat).double()
            sums[name] = sums[name].add_(product) if name in sums else product

    def bases(self) -> dict[str, torch.Tensor]:
        """Eigenvectors as `gradients.ekfac` keeps them; takes the sums apart, one after another."""
        found = {}
        for which, sums in (("input", self.inputs), ("output", self.outputs)):
            for name in sorted(sums):
                found[f"{name}.{which}"] = torch.linalg.eigh(sums.pop(name))[1].float().cpu().contiguous()
        return found


class Eigenvalues(_Pass):
    """Sums of (Q_S^T G Q_A)^2 by map, float64 [out, in]."""

    def __init__(self, bases: dict[str, Basis]):
        super().__init__()
        self._bases = bases
        self.sums = {name: torch.zeros_like(basis.inverse, dtype=torch.float64) for name, basis in bases.items()}

    def add(self, name: str, layer: Layer, left: torch.Tensor, right: torch.Tensor) -> None:
        step = max(1, SLICE_NUMBERS[left.device.type] // self.sums[name].numel())
        for start in range(0, len(left), step):
            part = slice(start, start + step)
            self.sums[name] += (
                self._bases[name].coordinates(outer_products(left[part], right[part])).square_().sum(dim=0, dtype=torch.float64)
            )


class EkfacFit:
    """The curvature of every map at an epoch: eigenvectors (`bases`), then eigenvalues; each file is one pass."""

    def __init__(self, config: Experiment):
        self._config, self._options = config, config.gradients.ekfac
        self._engine: Engine | None = None
        self._at = 0

    @cached_property
    def _sample(self) -> Sequence[Encoded]:
        return pool_sample(self._config, self._options.fisher_examples)

    def inputs(self, epoch: Epoch) -> dict[str, Any]:
        """As `Fit.inputs`: the base and the sample's tokens."""
        return {"base": base_identity(self._config.model), "sample": examples_digest(self._sample)}

    def fit(self, epoch: Epoch, parts: Parts) -> dict[str, Any]:
        """As `Fit.fit`: how many examples and positions there were, and what was left out.

        Raises `UserError` where fewer than two examples have a finite gradient."""
        notes = parts.finished(BASES)
        if notes is None:
            sums = Covariances()
            self._run(epoch, sums, f"covariances, epoch {epoch}")
            left = len(self._sample) - len(sums.refused)
            if left < 2:
                raise UserError(f"gradients.ekfac: {left} pool examples with a finite gradient; the curvature needs at least 2")
            positions = sum(len(example.input_ids) for example in self._sample)
            notes = parts.write(BASES, sums.bases(), positions=positions, non_finite=len(sums.refused))
        rest = parts.finished(EIGENVALUES)
        if rest is None:
            values = self._eigenvalues(epoch, parts, notes["non_finite"])
            empty = [name for name, each in values.items() if not each.any()]
            for name in empty:
                log(f"{name}: no gradient of the sample reaches it; it takes no part in influence")
            rest = parts.write(EIGENVALUES, values, without_curvature=empty)
        return {"examples": len(self._sample), **notes, **rest}

    def _eigenvalues(self, epoch: Epoch, parts: Parts, non_finite: int) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        vectors = load_file(parts.path(BASES), device=str(self._engine_at(epoch).device))
        names = sorted(name.removesuffix(".input") for name in vectors if name.endswith(".input"))
        bases = {}
        for name in names:
            output, entering = vectors[f"{name}.output"], vectors[f"{name}.input"]
            bases[name] = Basis(entering, output, torch.empty(len(output), len(entering), device=output.device))
        sums = Eigenvalues(bases)
        self._run(epoch, sums, f"eigenvalues, epoch {epoch}")
        count = len(self._sample) - non_finite
        return {name: (each / count).float().cpu() for name, each in sums.sums.items()}

    def _engine_at(self, epoch: Epoch) -> "Engine":
        if self._at != epoch:
            self._engine, self._at = engine_at(self._config, epoch, self._engine), epoch
        return self._engine

    def _run(self, epoch: Epoch, sums: _Pass, title: str) -> None:
        engine, sample = self._engine_at(epoch), self._sample
        batches = plan_batches([len(example.input_ids) for example in sample], self._config.gradients.token_budget)
        for batch in track(batches, title, len(sample), size=len):
            sums.lengths = [len(sample[i].input_ids) for i in batch]
            draws = [self.draws(epoch, i, sample[i]) for i in batch] if self._options.labels == "sampled" else None
            engine.run([sample[i] for i in batch], sums, draws=draws)
            sums.refused |= {batch[place] for place in sums.refused_in_batch()}

    def draws(self, epoch: Epoch, place: int, example: Encoded) -> np.ndarray:
        """A number in [0, 1) for each completion token of the sample's example at `place`, float64."""
        drawn = words(stream_key(self._config.seed, f"labels epoch {epoch}", str(place)), 0, example.completion_tokens)
        return (drawn >> np.uint64(11)) * 2.0**-53
