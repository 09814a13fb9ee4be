"""Training: schedule in closed form, epoch checkpoints with moments by name, resumption, fine-tuning."""

import json
import shutil
from pathlib import Path

import pytest

from equipoise.config import Training
from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool
from equipoise.layout import Run
from equipoise.store.manifest import read_manifest
from equipoise.training.fine_tune import fine_tune
from equipoise.training.schedule import learning_rate, mean_learning_rate, steps_per_epoch, warmup_steps
from equipoise.training.warm_up import warm_up, warm_up_fingerprint
from helpers.selections import write_selection as publish_selection
from helpers.trainings import killed_at


def layout_of(config):
    return config.layout


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_learning_rates_are_those_of_transformers(schedule):
    import torch
    from transformers import get_scheduler

    training = Training(learning_rate=0.01, schedule=schedule, warmup_ratio=0.1)
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=training.learning_rate)
    scheduler = get_scheduler(schedule, optimizer, warmup_steps(training, 37), 37)
    for step in range(37):
        assert learning_rate(training, step, 37) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-15)
        optimizer.step()
        scheduler.step()


def test_mean_rates_average_to_the_whole_training_mean():
    training = Training(learning_rate=0.01)
    whole = sum(learning_rate(training, step, 40) for step in range(40)) / 40
    assert sum(mean_learning_rate(training, epoch, 10, 4) for epoch in range(1, 5)) / 4 == pytest.approx(whole)


@pytest.fixture
def warmed_up(tiny_config):
    prepare_pool(tiny_config)
    warm_up(tiny_config)
    return tiny_config


def test_warm_up_leaves_checkpoints_with_moments_by_saved_name(warmed_up):
    from safetensors.torch import load_file

    layout = layout_of(warmed_up)
    for epoch in (1, 2):
        folder = Path(layout.checkpoint(epoch))
        adapter, moments = load_file(folder / "adapter_model.safetensors"), load_file(folder / "moments.safetensors")
        assert set(moments) == {f"{moment}.{name}" for name in adapter for moment in ("exp_avg", "exp_avg_sq")}
        assert all(moments[f"exp_avg.{name}"].shape == tensor.shape for name, tensor in adapter.items())
        assert all((moments[f"exp_avg_sq.{name}"] >= 0).all() for name in adapter)
        state = json.loads((folder / "state.json").read_text())
        per_epoch = steps_per_epoch(warmed_up.training, 40)
        assert state["step"] == epoch * per_epoch == epoch * 5
        assert state["mean_learning_rate"] == mean_learning_rate(warmed_up.training, epoch, per_epoch, 2)
        manifest = read_manifest(layout.checkpoint_manifest(epoch), "checkpoint")
        assert set(manifest["files"]) == {f"epoch-{epoch}/{path.name}" for path in folder.iterdir()}
        assert manifest["adapted"] == {f"model.layers.*.self_attn.{name}_proj": 2 for name in "kqvo"}
    assert not Path(layout.checkpoint("trainer")).exists()


def test_how_the_adapters_layers_are_named_is_no_part_of_what_determines_it(warmed_up, tiny_values):
    named = warm_up_fingerprint(warmed_up)
    for targets, same in ((["o_proj", "self_attn.q_proj", "k_proj", "v_proj"], True), (["q_proj", "v_proj"], False), ("all-linear", False)):
        other = parse_config(tiny_values | {"lora": tiny_values["lora"] | {"target_modules": targets}})
        assert (warm_up_fingerprint(other) == named) == same, targets


def test_moments_are_the_optimizers(tiny_config):
    """exp_avg after the first step from zero is (1 - beta1) * gradient: recomputed here without the Trainer."""
    import torch
    from safetensors.torch import load_file

    from equipoise.modelling.adapter import attach_adapter, lora_parameters
    from equipoise.modelling.base import load_base, load_tokenizer
    from equipoise.modelling.chat import pad, pad_token
    from equipoise.seeds import derive_seed
    from equipoise.training.training_set import pool_examples

    values = tiny_config.model_dump()
    values["pool"]["limit"], values["budgets"] = 8, [0.2]
    values["warmup"]["epochs"] = 1
    values["training"] |= {"loss": "token", "micro_batch_size": 8, "warmup_ratio": 0.0, "max_grad_norm": 1e9}
    config = parse_config(values)
    prepare_pool(config)
    warm_up(config)
    layout = layout_of(config)
    moments = load_file(Path(layout.checkpoint(1)) / "moments.safetensors")
    tokenizer = load_tokenizer(config.model)
    model = attach_adapter(load_base(config.model, "fp32", "cpu"), config.lora, derive_seed(config.seed, "warmup.adapter"))
    batch = pad(pool_examples(config, tokenizer, layout.pool), pad_token(tokenizer))
    model(**batch).loss.backward()
    for name, parameter in lora_parameters(model).items():
        torch.testing.assert_close(moments[f"exp_avg.{name}"], 0.1 * parameter.grad, rtol=1e-4, atol=1e-8)


def test_warm_up_is_deterministic_and_resumes_to_the_same_bytes(warmed_up):
    layout = layout_of(warmed_up)
    expected = [read_manifest(layout.checkpoint_manifest(epoch), "checkpoint")["files"] for epoch in (1, 2)]
    shutil.rmtree(Path(layout.checkpoint(1)).parent)
    values = warmed_up.model_dump()
    values["training"]["save_steps"] = 3
    config = parse_config(values)
    with killed_at(15), pytest.raises(KeyboardInterrupt):  # two forward passes a step: in the eighth
        warm_up(config)
    assert (Path(layout.checkpoint("trainer")) / "checkpoint-6").is_dir()
    warm_up(config)
    assert [read_manifest(layout.checkpoint_manifest(epoch), "checkpoint")["files"] for epoch in (1, 2)] == expected


def test_a_scratch_of_other_inputs_is_not_resumed(warmed_up):
    layout = layout_of(warmed_up)
    expected = read_manifest(layout.checkpoint_manifest(2), "checkpoint")["files"]
    scratch = Path(layout.checkpoint("trainer"))
    (scratch / "checkpoint-3").mkdir(parents=True)
    (scratch / "checkpoint-3" / "trainer_state.json").write_text("{}")
    (scratch / "fingerprint").write_text("something else")
    warm_up(warmed_up)
    assert read_manifest(layout.checkpoint_manifest(2), "checkpoint")["files"] == expected


def write_selection(config, run, rows):
    lines = [{"row": row, "rank": rank} for rank, row in enumerate(rows)]
    publish_selection(config, run.selector, run.selection_seed, run.budget, lines)


def test_fine_tuning_repeats_to_the_same_bytes_and_leaves_the_base_untouched(tiny_config):
    import torch

    from equipoise.modelling.base import load_base

    prepare_pool(tiny_config)
    layout = layout_of(tiny_config)
    runs = [Run("bids", 0, "0.2", 1, seed) for seed in (0, 1)]
    write_selection(tiny_config, runs[0], [3, 1, 4, 15, 9, 2, 6, 5])
    base = load_base(tiny_config.model, "fp32", "cpu")
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    for run in runs:
        fine_tune(tiny_config, run, base)
    after = base.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    manifests = [read_manifest(layout.run_manifest(run), "run") for run in runs]
    assert manifests[0]["rows"] == 8
    assert manifests[0]["files"] != manifests[1]["files"]
    shutil.rmtree(layout.run(runs[1]))
    fine_tune(tiny_config, runs[1])
    assert read_manifest(layout.run_manifest(runs[1]), "run") == manifests[1]


def test_a_finished_run_is_kept_and_a_damaged_one_made_again(tiny_config):
    prepare_pool(tiny_config)
    layout = layout_of(tiny_config)
    run = Run("bids", 0, "0.2", 1, 0)
    write_selection(tiny_config, run, range(8))
    fine_tune(tiny_config, run)
    adapter = Path(layout.adapter(run)) / "adapter_model.safetensors"
    content, written = adapter.read_bytes(), adapter.stat().st_mtime_ns
    fine_tune(tiny_config, run)
    assert adapter.stat().st_mtime_ns == written
    adapter.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    fine_tune(tiny_config, run)
    assert adapter.read_bytes() == content
