"""EK-FAC's curvature where it is exact, and its conventions where examples have 2 and 20 tokens (the whole matrix: test_estimators)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from equipoise.curvature.ekfac import Covariances, Eigenvalues
from equipoise.gradients.capture import Factors
from equipoise.gradients.ekfac import Basis, inverse_eigenvalues
from equipoise.gradients.engine import Engine
from equipoise.gradients.projection import Identity
from equipoise.gradients.rows import LoraRows
from equipoise.modelling.adapter import load_adapter, lora_parameters
from equipoise.modelling.base import load_base
from equipoise.modelling.chat import Encoded
from helpers.gradient_experiment import make_experiment

DAMPING = 0.1
LAYER = SimpleNamespace(name="layer", name_a="a", name_b="b", routed=False)


def model_of(config):
    return load_adapter(load_base(config.model, "fp32", "cpu"), config.layout.checkpoint(1))


def fitted(x, g):
    """Curvature of a map that sees inputs x [n, t, in] and output gradients g [n, t, out], all of them unpadded."""
    factors = Factors(x, x[..., :1], g[..., :1], g)
    sums = Covariances()
    sums.lengths = [x.shape[1]] * len(x)
    sums.take(LAYER, factors)
    vectors = sums.bases()
    bases = {n: Basis(vectors[f"{n}.input"], vectors[f"{n}.output"], torch.empty(0)) for n in ("a", "b")}
    for name, basis in bases.items():
        bases[name] = Basis(basis.input, basis.output, torch.zeros(len(basis.output), len(basis.input)))
    values = Eigenvalues(bases)
    values.take(LAYER, factors)
    inverse = inverse_eigenvalues(values.sums["a"] / len(x), DAMPING)
    return Basis(bases["a"].input.double(), bases["a"].output.double(), inverse)


def test_it_is_the_dense_inverse_where_inputs_and_output_gradients_are_independent():
    """Every pair of an input and an output gradient once: E[vec G vec G^T] is the Kronecker product of the two covariances."""
    generator = torch.Generator().manual_seed(1)
    x, g = torch.randn(9, 5, generator=generator), torch.randn(7, 4, generator=generator) * torch.tensor([1.0, 0.1, 2.0, 0.01])
    pairs = torch.cartesian_prod(torch.arange(9), torch.arange(7))
    basis = fitted(x[pairs[:, 0], None], g[pairs[:, 1], None])
    whole = torch.stack([torch.outer(g[j], x[i]).flatten() for i, j in pairs]).double()
    fisher = whole.T @ whole / len(pairs)
    dense = torch.linalg.inv(fisher + DAMPING * fisher.trace() / len(fisher) * torch.eye(len(fisher), dtype=torch.float64))
    gradients = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(basis.solved(gradients).flatten(1), gradients.flatten(1) @ dense, rtol=1e-4, atol=1e-5)
    squares = torch.einsum("na,ab,nb->n", gradients.flatten(1), dense, gradients.flatten(1))
    torch.testing.assert_close(basis.squares(gradients), squares, rtol=1e-4, atol=1e-5)


def test_padding_counts_in_no_covariance():
    x, g = torch.randn(2, 6, 3), torch.randn(2, 6, 2)
    g[0, 2:], g[1, 5:] = 0, 0
    sums = Covariances()
    sums.lengths = [2, 5]
    sums.take(LAYER, Factors(x, x, g, g))
    real = torch.cat([x[0, :2], x[1, :5]])
    torch.testing.assert_close(sums.inputs["a"], (real.T @ real).double())


def test_an_example_whose_factors_are_not_finite_is_left_out_and_counted():
    x, g = torch.randn(3, 4, 3), torch.randn(3, 4, 2)
    broken = g.clone()
    broken[1, 2, 0] = torch.nan
    sums, without = Covariances(), Covariances()
    sums.lengths, without.lengths = [4] * 3, [4] * 2
    sums.take(LAYER, Factors(x, x, broken, broken))
    without.take(LAYER, Factors(x[[0, 2]], x[[0, 2]], g[[0, 2]], g[[0, 2]]))
    assert sums.refused_in_batch() == {1}
    assert sums.refused_in_batch() == set()
    torch.testing.assert_close(sums.outputs["a"], without.outputs["a"])


def test_a_map_without_curvature_takes_no_part():
    assert not inverse_eigenvalues(torch.zeros(2, 3), DAMPING).any()


def gauss_newton_trace(model, example):
    """Mean over tokens of sum_y p_y |d log p_y|^2: the trace of the Gauss-Newton matrix of the example's mean loss."""
    parameters = list(lora_parameters(model).values())
    for parameter in parameters:
        parameter.requires_grad_(True)
    logits = model(input_ids=torch.tensor([example.input_ids])).logits[0, torch.tensor(example.labelled) - 1]
    trace = 0.0
    for token in range(len(logits)):
        chances, logs = torch.softmax(logits[token].detach(), 0), torch.log_softmax(logits[token], 0)
        for label, chance in enumerate(chances.tolist()):
            found = torch.autograd.grad(logs[label], parameters, retain_graph=True)
            trace += chance * sum(float((each**2).sum()) for each in found) / len(logits)
    return trace


def test_sampled_labels_give_the_gauss_newton_matrix_of_the_mean_loss_whatever_the_lengths_in_a_set(tmp_path):
    """Examples of 2 and of 20 tokens in the same batches: the mean squared norm of each one's rows of drawn labels is the trace of its
    own matrix, and the eigenvalues, summed over the set, add up to those norms."""
    config = make_experiment(tmp_path, gradients={"projection": {"kind": "identity"}})
    lengths, times = (2, 20), 3000
    examples = [Encoded([1, *(7 + (3 * i) % 20 for i in range(4 + length))], 5) for length in lengths]
    traces = [gauss_newton_trace(model_of(config), example) for example in examples]
    engine = Engine(model_of(config))
    shapes = {name: rows * columns for name, (rows, columns) in engine.capture.shapes.items()}
    generator = np.random.default_rng(3)
    maker, squares = LoraRows(Identity(shapes)), []
    bases = {name: Basis(torch.eye(shape[1]), torch.eye(shape[0]), torch.zeros(shape)) for name, shape in engine.capture.shapes.items()}
    values = Eigenvalues(bases)
    for start in range(0, times, 250):
        draws = [generator.random(length) for _ in range(250) for length in lengths]
        rows = engine.run(examples * 250, maker, draws=draws).gradients
        squares.append((rows**2).sum(axis=1).reshape(250, 2))
        if start == 0:
            engine.run(examples * 250, values, draws=draws)
            assert sum(float(each.sum()) for each in values.sums.values()) == pytest.approx(squares[0].sum(), rel=1e-4)
    squares = np.concatenate(squares)
    for own, trace in zip(squares.T, traces, strict=True):
        error = own.std() / times**0.5
        assert abs(own.mean() - trace) < 4 * error
        assert error < 0.05 * trace, "a mean over tokens would be 1/T of it"
