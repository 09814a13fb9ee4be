"""The whole chain against an independent reference: plain torch, one example at a time, and naive numpy. Shares no code with the stages."""

import json
from pathlib import Path

import numpy as np
import pytest

from equipoise.attribution.assemble import assemble_attribution
from equipoise.attribution.seal import seal_attribution
from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool
from equipoise.data.targets import prepare_targets
from equipoise.gradients.collect import collect_pool_gradients, collect_target_gradients
from equipoise.layout import Layout
from equipoise.selection.rank import rank
from equipoise.selection.select_budget import select_budget
from equipoise.training.warm_up import warm_up


@pytest.fixture
def finished(tiny_values):
    """The tiny experiment up to BIDS's selection, without projection."""
    tiny_values["gradients"]["projection"] = {"kind": "identity"}
    config = parse_config(tiny_values)
    prepare_pool(config)
    prepare_targets(config, list(config.tasks))
    warm_up(config)
    collect_pool_gradients(config, [1, 2], 0)
    collect_target_gradients(config, [1, 2], list(config.tasks))
    assemble_attribution(config, "influence", 0)
    seal_attribution(config, "influence")
    rank(config, "bids", 0)
    select_budget(config, "bids", 0, "0.2")
    return config


def gradient(model, tokenizer, prompt, response):
    """Gradient of one example's mean completion loss by name, through plain autograd and transformers' own loss."""
    import torch

    prefix = tokenizer(f"<bos><|user|>\n{prompt}\n<|assistant|>\n", add_special_tokens=False).input_ids
    completion = [*tokenizer(response, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    ids = torch.tensor([(prefix + completion)[:32]])
    labels = ids.clone()
    labels[:, : len(prefix)] = -100
    model.zero_grad()
    model(input_ids=ids, labels=labels).loss.backward()
    return {name.replace(".default.", "."): p.grad.double().clone() for name, p in model.named_parameters() if p.grad is not None}


def reference_matrix(config, base_folder, layout, pool, targets):
    """A[i, j] = sum over epochs of lr_e / sum lr * cos(g_j, m' / sqrt(v' + eps)), float64."""
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    total, rates = 0.0, 0.0
    for epoch in (1, 2):
        folder = Path(layout.checkpoint(epoch))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
        model = PeftModel.from_pretrained(base, folder, is_trainable=True).eval()
        moments = load_file(folder / "moments.safetensors")
        rate = json.loads((folder / "state.json").read_text())["mean_learning_rate"]
        names = sorted(name for name in gradient(model, tokenizer, *pool[0]))

        def flat(gradients, names=names):
            return torch.cat([gradients[name].flatten() for name in names])

        def adam(gradients, names=names, moments=moments):
            first = {n: 0.9 * moments[f"exp_avg.{n}"].double() + 0.1 * gradients[n] for n in names}
            second = {n: 0.999 * moments[f"exp_avg_sq.{n}"].double() + 0.001 * gradients[n] ** 2 for n in names}
            return {n: first[n] / torch.sqrt(second[n] + 1e-8) for n in names}

        rows = torch.stack([flat(adam(gradient(model, tokenizer, *example))) for example in pool])
        columns = torch.stack([flat(gradient(model, tokenizer, *example)) for example in targets])
        unit_rows, unit_columns = rows / rows.norm(dim=1, keepdim=True), columns / columns.norm(dim=1, keepdim=True)
        total = total + rate * (unit_rows @ unit_columns.T).numpy()
        rates += rate
    return total / rates


def naive_bids(matrix, picks):
    """The greedy of the paper, word for word."""
    normalised = (matrix - matrix.mean(axis=0)) / matrix.std(axis=0, ddof=1)
    chosen: list[int] = []
    while len(chosen) < picks:
        mean = normalised[chosen].sum(axis=0) / len(chosen) if chosen else np.zeros(matrix.shape[1])
        gain = (normalised - mean).max(axis=1)
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(gain)))
    return chosen


def test_matrix_and_selection_agree_with_plain_torch_and_naive_numpy(finished, tiny_base):
    import pyarrow.parquet as pq
    import zarr

    layout = Layout(finished.results, finished.experiment, finished.model.name)
    pool = pq.read_table(layout.pool).to_pydict()
    targets = [pq.read_table(layout.target(task)).to_pydict() for task in finished.tasks]
    examples = list(zip(pool["prompt"], pool["response"], strict=True))
    validation = [pair for table in targets for pair in zip(table["prompt"], table["response"], strict=True)]
    expected = reference_matrix(finished, tiny_base, layout, examples, validation)
    matrix = np.asarray(zarr.open_array(layout.matrix("influence"), mode="r")[:])
    assert matrix.shape == (40, 8)
    assert np.abs(expected).max() > 0.1  # there is something to compare
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-4)
    picked = [json.loads(line)["row"] for line in Path(layout.selection("bids", 0, "0.2")).read_text().splitlines()]
    assert picked == naive_bids(matrix.astype(np.float64), 8)
