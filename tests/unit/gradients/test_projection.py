"""Random projections: a pure function of (seed, name, coordinate), unbiased, of the stated variance, equal bytes everywhere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.config_gradients import Projection
from equipoise.gradients.adam import Constants
from equipoise.gradients.hashing import signs, stream_key, words
from equipoise.gradients.projection import Identity, Rademacher, Sketch, build_projector

SHAPES = {"a": 40, "b": 17, "c": 64}
K = 16


def project(projector, gradients):
    """float64 [n, k] of float32 [n, p] with the parameters of SHAPES one after another."""
    rows = torch.zeros(len(gradients), projector.dimension, dtype=torch.float64)
    start = 0
    for name, numel in SHAPES.items():
        projector.add(rows, name, torch.from_numpy(np.ascontiguousarray(gradients[:, start : start + numel])))
        start += numel
    return projector.finish(rows.numpy())


def vectors(seed=0):
    generator = np.random.Generator(np.random.PCG64(seed))
    return generator.standard_normal((2, sum(SHAPES.values()))).astype(np.float32)


def block_sums(x, y):
    """sum over blocks b of F(x_b, y_b), with F as in the variance of a dense map."""
    total, start = 0.0, 0
    for numel in SHAPES.values():
        for low in range(0, numel, K):
            part = slice(start + low, start + min(low + K, numel))
            total += spread(x[part], y[part])
        start += numel
    return total


def spread(x, y):
    return (x @ x) * (y @ y) + (x @ y) ** 2 - 2 * (x * x) @ (y * y)


@pytest.mark.parametrize(("kind", "repeats"), [("sketch", 1), ("sketch", 2), ("rademacher", 1)])
def test_inner_products_are_unbiased_and_their_variance_is_as_stated(kind, repeats):
    both = vectors()
    x, y = both.astype(np.float64)
    seeds = 3000
    found = np.empty(seeds)
    for seed in range(seeds):
        left, right = project(build_projector(Projection(kind=kind, dimension=K, repeats=repeats), SHAPES, seed), both)
        found[seed] = left @ right
    dense = spread(x, y) / K
    variance = dense if kind == "rademacher" else dense - block_sums(x, y) / K
    if repeats == 2:
        # <(S1+S2)x, (S1+S2)y>/2: the mean of two sketches' products plus two independent cross terms
        cross = ((x @ x) * (y @ y) + (x @ y) ** 2) / K
        variance = variance / 2 + cross / 2
    assert abs(found.mean() - x @ y) < 5 * np.sqrt(variance / seeds)
    assert found.var() == pytest.approx(variance, rel=0.15)
    if repeats == 1:
        assert variance <= dense


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 700), st.integers(1, 5), st.booleans(), st.integers(1, 2))
def test_cpu_kernel_and_portable_operations_give_the_same_bytes(dimension, numel, rows, mapped, repeats):
    generator = torch.Generator().manual_seed(numel)
    gradient = torch.randn(rows, numel, generator=generator)
    adam = None
    if mapped:
        second = torch.rand(numel, generator=generator) * 1e-3 + 1e-8
        adam = Constants(torch.randn(numel, generator=generator) * 0.1, second, 0.1, 0.001, 1e-8)
    sketch = Sketch({"a": numel}, dimension, 0, repeats)
    kernel, portable = (torch.zeros(rows, dimension, dtype=torch.float64) for _ in range(2))
    sketch.add(kernel, "a", gradient, adam)
    sketch.add_portable(portable, "a", gradient if adam is None else adam.apply(gradient))
    assert kernel.numpy().tobytes() == portable.numpy().tobytes()


@pytest.mark.parametrize("kind", ["sketch", "rademacher", "identity"])
def test_equal_gradients_give_equal_bytes_for_any_batch_and_thread_count(kind):
    numel, rows = 30_000, 37
    gradient = torch.randn(rows, numel, generator=torch.Generator().manual_seed(0))

    def bytes_with(batch, threads):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            projector = build_projector(Projection(kind=kind, dimension=512), {"a": numel}, 3)
            total = torch.zeros(rows, projector.dimension, dtype=torch.float64)
            for start in range(0, rows, batch):
                projector.add(total[start : start + batch], "a", gradient[start : start + batch])
            return projector.finish(total.numpy()).tobytes()
        finally:
            torch.set_num_threads(before)

    expected = bytes_with(rows, 1)
    assert all(bytes_with(batch, threads) == expected for batch, threads in [(1, 1), (5, 2), (rows, 3), (16, 4)])


def test_rows_do_not_depend_on_the_order_in_which_parameters_come():
    both = vectors()
    for kind in ("identity", "rademacher", "sketch"):
        forward = project(build_projector(Projection(kind=kind, dimension=K), SHAPES, 0), both)
        projector = build_projector(Projection(kind=kind, dimension=K), dict(reversed(SHAPES.items())), 0)
        rows = torch.zeros(2, projector.dimension, dtype=torch.float64)
        starts = dict(zip(SHAPES, np.cumsum([0, *SHAPES.values()]), strict=False))
        for name in reversed(SHAPES):
            projector.add(rows, name, torch.from_numpy(np.ascontiguousarray(both[:, starts[name] : starts[name] + SHAPES[name]])))
        np.testing.assert_allclose(projector.finish(rows.numpy()), forward, rtol=1e-12, atol=1e-12)


def test_rademacher_is_the_dense_matrix_of_hashed_signs():
    projector = Rademacher({"a": 5000}, 70, 9)
    gradient = np.random.Generator(np.random.PCG64(0)).standard_normal((3, 5000)).astype(np.float32)
    rows = torch.zeros(3, 70, dtype=torch.float64)
    projector.add(rows, "a", torch.from_numpy(gradient))
    key = stream_key(9, "rademacher", "a")
    matrix = signs(key, 0, 5000 * 128).reshape(5000, 128)[:, :70]
    np.testing.assert_allclose(projector.finish(rows.numpy()), gradient.astype(np.float64) @ matrix / np.sqrt(70), rtol=1e-6, atol=1e-6)


def test_sketch_is_the_map_that_the_method_describes():
    sketch = Sketch(SHAPES, K, 4)
    gradient = vectors()[:1]
    expected, start = np.zeros(K), 0
    for name, numel in SHAPES.items():
        sign = signs(stream_key(4, "sketch sign 0", name), 0, -(-numel // K) * K)
        shift = words(stream_key(4, "sketch shift 0", name), 0, -(-numel // K)) % np.uint64(K)
        for coordinate in range(numel):
            expected[(coordinate % K + int(shift[coordinate // K])) % K] += sign[coordinate] * float(gradient[0, start + coordinate])
        start += numel
    np.testing.assert_allclose(project(sketch, gradient)[0], expected, rtol=1e-12)


def test_hash_streams_are_pinned():
    assert (
        words(stream_key(0, "sketch sign 0", "layer"), 0, 3).tolist() == words(stream_key(0, "sketch sign 0", "layer"), 0, 5)[:3].tolist()
    )
    assert stream_key(0, "sketch sign 0", "layer") != stream_key(1, "sketch sign 0", "layer")
    assert words(0, 0, 2).tolist() == [16294208416658607535, 7960286522194355700]  # SplitMix64 of seed 0, as published
    assert signs(5, 64, 70).tolist() == signs(5, 0, 134)[64:].tolist()
    assert abs(signs(7, 0, 1 << 16).mean()) < 0.02
    with pytest.raises(ValueError, match="multiple of 64"):
        signs(5, 3, 4)


def test_identity_keeps_parameters_sorted_by_name():
    projector = Identity({"b": 2, "a": 3})
    rows = torch.zeros(1, 5, dtype=torch.float64)
    projector.add(rows, "b", torch.tensor([[4.0, 5.0]]))
    projector.add(rows, "a", torch.tensor([[1.0, 2.0, 3.0]]))
    assert projector.finish(rows.numpy()).tolist() == [[1, 2, 3, 4, 5]]
