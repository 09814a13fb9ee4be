"""The training loss against a plain loop: own forward passes of single examples, own average, AdamW; the batch is cut in several ways."""

from pathlib import Path

import pytest

from equipoise.modelling.adapter import attach_adapter, lora_parameters
from equipoise.modelling.base import load_base, load_tokenizer
from equipoise.seeds import derive_seed
from equipoise.training.schedule import learning_rate
from equipoise.training.training_set import pool_examples
from equipoise.training.warm_up import warm_up
from helpers.training_jobs import losses, prepared, run

EXAMPLES, BATCH, EPOCHS = 27, 8, 2  # an epoch's last batch has 3 examples: two processes of 2 at once are given one too many


def plain_loop(config, order):
    """Losses of the steps and the adapter of a training over examples in `order`, written as the method says it."""
    import torch

    examples = pool_examples(config, load_tokenizer(config.model), config.layout.pool)
    model = attach_adapter(load_base(config.model, "fp32", "cpu"), config.lora, derive_seed(config.seed, "warmup.adapter"))
    optimizer = torch.optim.AdamW(lora_parameters(model).values(), lr=1.0, weight_decay=config.training.weight_decay)
    curve = []
    batches = [order[e * EXAMPLES : (e + 1) * EXAMPLES][i : i + BATCH] for e in range(EPOCHS) for i in range(0, EXAMPLES, BATCH)]
    for step, batch in enumerate(batches):
        token_losses = []
        for example in (examples[row] for row in batch):
            ids = torch.tensor(example.input_ids)
            logits = model(input_ids=ids[None]).logits[0]
            token_losses.append(-logits[:-1].log_softmax(-1)[range(len(ids) - 1), ids[1:]][example.prompt_length - 1 :])
        if config.training.loss == "example":
            loss = torch.stack([tokens.mean() for tokens in token_losses]).mean()
        else:
            loss = torch.cat(token_losses).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lora_parameters(model).values(), config.training.max_grad_norm)
        optimizer.param_groups[0]["lr"] = learning_rate(config.training, step, len(batches))
        optimizer.step()
        curve.append(loss.item())
    return curve, {name: parameter.detach().clone() for name, parameter in lora_parameters(model).items()}


@pytest.fixture
def order(tiny_values, tmp_path, monkeypatch):
    """The rows in the order in which one process takes them, two epochs long; of several processes they are the same."""
    from equipoise.training import trainer

    taken, real = [], trainer._collate
    monkeypatch.setattr(trainer, "_collate", lambda examples, pad_token, rows: taken.extend(rows) or real(examples, pad_token, rows))
    config, _ = prepared(with_limit(tiny_values), tmp_path, "order", micro_batch_size=1)
    warm_up(config)
    assert len(taken) == EPOCHS * EXAMPLES
    assert taken[:EXAMPLES] != taken[EXAMPLES:]
    return taken


def with_limit(values):
    return values | {"pool": values["pool"] | {"limit": EXAMPLES}, "warmup": {"epochs": EPOCHS}}


@pytest.mark.parametrize(
    ("processes", "micro_batch_size"),
    [(1, 8), (1, 2), pytest.param(2, 2, marks=pytest.mark.slow), pytest.param(2, 4, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("loss", ["example", "token"])
def test_the_loss_is_that_of_a_plain_loop(tiny_values, tmp_path, order, loss, processes, micro_batch_size):
    import torch
    from safetensors.torch import load_file

    cut = {"loss": loss, "processes": processes, "micro_batch_size": micro_batch_size, "report_to": ["tensorboard"]}
    config, path = prepared(with_limit(tiny_values), tmp_path, "cut", **cut)
    if processes == 1:
        warm_up(config)
    else:
        run("warm_up", path)
    curve, adapter = plain_loop(config, order)
    assert [value for _, value in losses(Path(config.layout.checkpoint(1)).parent / "tensorboard")] == pytest.approx(curve, rel=1e-4)
    saved = load_file(Path(config.layout.checkpoint(EPOCHS)) / "adapter_model.safetensors")
    for name, parameter in adapter.items():
        torch.testing.assert_close(saved[name], parameter, rtol=1e-3, atol=1e-4)


def test_the_two_losses_differ(tiny_values, tmp_path, order):
    curves = {}
    for loss in ("example", "token"):
        config, _ = prepared(with_limit(tiny_values), tmp_path, loss, loss=loss)
        curves[loss] = plain_loop(config, order)[0]
    assert max(abs(a - b) for a, b in zip(*curves.values(), strict=True)) > 0.01, "a wrong loss would pass"


def test_every_shipped_configuration_says_its_loss():
    import yaml

    from helpers.places import REPOSITORY

    folders = (REPOSITORY, REPOSITORY / "workflow/experiments", *(REPOSITORY / "examples").iterdir())
    files = [file for folder in folders for file in folder.glob("*.yaml")]
    said = {file.name: yaml.safe_load(file.read_text(encoding="utf-8"))["training"].get("loss") for file in files}
    assert len(files) >= 7
    assert set(said.values()) == {"example"}, said
