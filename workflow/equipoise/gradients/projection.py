"""Random maps of per-example gradients from R^p to R^k (method.md, "Projection"), functions of (seed, name, coordinate) alone.

A projection is fed one parameter at a time: `add` adds the image of that parameter's gradients, [n, numel], to float64 rows
[n, k]. Sums run in an order that depends on the model alone, row by row, so that equal gradients give equal bytes whatever the
batch, the number of threads or the device. Adam constants, if any, are applied on the way (fused into the CPU kernel).
"""

from typing import TYPE_CHECKING

import numpy as np

from equipoise.config_gradients import Projection as ProjectionConfig
from equipoise.gradients.hashing import signs, stream_key, words

if TYPE_CHECKING:
    import torch

    from equipoise.gradients.adam import Constants

GROUP = 8  # blocks whose sum is a balanced tree; groups are added one after another


class Sketch:
    """Block-permuted CountSketch: pad to a multiple of k, sign, shift each block of k cyclically, add the blocks.

    E<Rx, Ry> = <x, y>; the variance is at most that of a dense Rademacher map (method.md, "Projection"). `repeats` independent
    sketches are averaged to (S1 + ... + Sr) / sqrt(r).
    """

    def __init__(self, shapes: dict[str, int], dimension: int, seed: int, repeats: int = 1):
        """shapes: number of elements by parameter name."""
        self.shapes, self.dimension, self.repeats = shapes, dimension, repeats
        self._maps = {name: [self._map(seed, repeat, name) for repeat in range(repeats)] for name in shapes}
        self._on_device: dict[tuple[str, int, torch.device], tuple] = {}

    def _map(self, seed: int, repeat: int, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Signs int8 [blocks * k] and shifts int64 [blocks] of a parameter."""
        blocks = -(-self.shapes[name] // self.dimension)
        sign = signs(stream_key(seed, f"sketch sign {repeat}", name), 0, blocks * self.dimension)
        shift = words(stream_key(seed, f"sketch shift {repeat}", name), 0, blocks) % np.uint64(self.dimension)
        return sign, shift.astype(np.int64)

    def add(self, rows: "torch.Tensor", name: str, gradient: "torch.Tensor", adam: "Constants | None" = None) -> None:
        """Adds the image of `gradient`, float32 [n, numel] of parameter `name`, to `rows`, float64 [n, k], in place."""
        if rows.device.type == "cpu":
            from equipoise.gradients.sketch_kernel import sketch_add

            for sign, shift in self._maps[name]:
                sketch_add(rows.numpy(), gradient.numpy(), sign, shift, adam)
        else:
            self.add_portable(rows, name, gradient if adam is None else adam.apply(gradient))

    def add_portable(self, rows: "torch.Tensor", name: str, gradient: "torch.Tensor") -> None:
        """`add` in elementwise torch operations for any device: the same additions in the same order as the CPU kernel."""
        import torch

        k = self.dimension
        for repeat in range(self.repeats):
            sign, source = self._device_map(name, repeat, rows.device)
            blocks = len(source)
            padded = torch.nn.functional.pad(gradient, (0, blocks * k - gradient.shape[1]))
            shifted = (padded * sign).view(-1, blocks, k).gather(2, source.expand(len(rows), -1, -1))
            shifted = torch.nn.functional.pad(shifted, (0, 0, 0, -blocks % GROUP)).view(len(rows), -1, GROUP, k)
            while shifted.shape[2] > 1:
                shifted = shifted[:, :, 0::2].double() + shifted[:, :, 1::2]
            for group in range(shifted.shape[1]):
                rows += shifted[:, group, 0]

    def _device_map(self, name: str, repeat: int, device: "torch.device") -> tuple["torch.Tensor", "torch.Tensor"]:
        """Signs int8 [blocks * k] and, for each block and slot, the offset that lands there, int64 [blocks, k]."""
        import torch

        key = (name, repeat, device)
        if key not in self._on_device:
            sign, shift = self._maps[name][repeat]
            self._on_device[key] = torch.from_numpy(sign).to(device), torch.from_numpy(shift).to(device)
        sign, shift = self._on_device[key]
        return sign, (torch.arange(self.dimension, device=device)[None] - shift[:, None]) % self.dimension

    def finish(self, rows: np.ndarray) -> np.ndarray:
        """The projected rows, float64 [n, k], once every parameter is added."""
        return rows / np.sqrt(self.repeats) if self.repeats > 1 else rows


class Rademacher:
    """Dense +-1/sqrt(k) from a counter-based hash, never stored: the fidelity reference, p * k operations per example.

    Each block of coordinates of a row is rounded to a fixed-point grid (2^-30 of the block's largest entry), so that the products with
    +-1 sum exactly in float64: the order in which a matrix product adds, and so batch, threads and device, cannot matter.
    """

    BLOCK = 4096
    GRID_BITS = 30

    def __init__(self, shapes: dict[str, int], dimension: int, seed: int):
        self.shapes, self.dimension, self._seed = shapes, dimension, seed

    def add(self, rows: "torch.Tensor", name: str, gradient: "torch.Tensor", adam: "Constants | None" = None) -> None:
        import torch

        gradient = gradient if adam is None else adam.apply(gradient)
        key = stream_key(self._seed, "rademacher", name)
        for start in range(0, gradient.shape[1], self.BLOCK):
            block = gradient[:, start : start + self.BLOCK].double()
            _, exponent = torch.frexp(block.abs().amax(dim=1, keepdim=True))
            grid = torch.ldexp(torch.ones_like(block[:, :1]), exponent - self.GRID_BITS)
            whole = torch.round(block / grid)
            matrix = torch.from_numpy(self.matrix(key, start, block.shape[1])).to(rows.device, torch.float64)
            rows += (whole @ matrix) * grid

    def matrix(self, key: int, start: int, count: int) -> np.ndarray:
        """Signs of `count` coordinates from `start`, int8 [count, k]; `start` is a multiple of the block."""
        padded = -(-self.dimension // 64) * 64
        return signs(key, start * padded, count * padded).reshape(count, padded)[:, : self.dimension]

    def finish(self, rows: np.ndarray) -> np.ndarray:
        return rows / np.sqrt(self.dimension)


class Identity:
    """No projection: parameters one after another, sorted by name. For small p."""

    def __init__(self, shapes: dict[str, int]):
        self.shapes = shapes
        self.dimension = sum(shapes.values())
        starts = np.cumsum([0, *(shapes[name] for name in sorted(shapes))])
        self._starts = dict(zip(sorted(shapes), starts.tolist(), strict=False))

    def add(self, rows: "torch.Tensor", name: str, gradient: "torch.Tensor", adam: "Constants | None" = None) -> None:
        start = self._starts[name]
        rows[:, start : start + self.shapes[name]] = gradient if adam is None else adam.apply(gradient)

    def finish(self, rows: np.ndarray) -> np.ndarray:
        return rows


Projector = Sketch | Rademacher | Identity


def build_projector(config: ProjectionConfig, shapes: dict[str, int], seed: int) -> Projector:
    """The projection that `gradients.projection` asks for, of parameters with `shapes` (elements by saved name)."""
    if config.kind == "sketch":
        return Sketch(shapes, config.dimension, seed, config.repeats)
    if config.kind == "rademacher":
        return Rademacher(shapes, config.dimension, seed)
    return Identity(shapes)
