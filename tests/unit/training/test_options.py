"""Options of training: number formats, memory saving, curves; and what of an earlier attempt is resumed."""

from pathlib import Path

import pytest

from equipoise.errors import UserError
from equipoise.training.fine_tune import fine_tune
from equipoise.training.warm_up import warm_up
from helpers.selections import write_selection
from helpers.trainings import RUN, losses, prepared


def test_a_batch_cut_for_other_processes_is_refused(tiny_values, tmp_path):
    config, _ = prepared(tiny_values, tmp_path, "two", processes=2, micro_batch_size=2)
    with pytest.raises(UserError, match="where the stage starts them"):
        warm_up(config)


def test_a_part_written_checkpoint_is_not_resumed(tmp_path):
    from equipoise.training.resumption import last_checkpoint

    for step in (3, 12, 9):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (3, 9):
        (tmp_path / f"checkpoint-{step}" / "whole").touch()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-9")
    assert not (tmp_path / "checkpoint-12").exists()
    assert last_checkpoint(tmp_path / "nothing") is None


def fine_tuned(values, tmp_path, name, model=None, **training):
    """Curve and adapter of one small fine-tuning."""
    from safetensors.torch import load_file

    values = {**values, "model": values["model"] | (model or {})}
    config, _ = prepared(values, tmp_path, name, report_to=["tensorboard"], **training)
    write_selection(config, "bids", 0, "0.2", [{"row": row, "rank": row} for row in range(16)])
    fine_tune(config, RUN)
    folder = Path(config.layout.run(RUN))
    return [value for _, value in losses(folder / "tensorboard")], load_file(folder / "adapter" / "adapter_model.safetensors")


def test_activation_checkpointing_changes_no_number(tiny_values, tmp_path, monkeypatch):
    import torch
    from transformers.models.llama.modeling_llama import LlamaAttention

    values = {**tiny_values, "lora": tiny_values["lora"] | {"dropout": 0.1}}
    real, calls = LlamaAttention.forward, []
    monkeypatch.setattr(LlamaAttention, "forward", lambda *a, **k: calls.append(1) or real(*a, **k))
    plain = fine_tuned(values, tmp_path, "plain")
    once = len(calls)
    saving = fine_tuned(values, tmp_path, "saving", activation_checkpointing=True)
    tried = 2  # the two layers once more, before training: which of them calls its adapter
    assert len(calls) - once == 2 * (once - tried) + tried, "every layer runs forward twice"
    assert saving[0] == plain[0]
    assert all(torch.equal(saving[1][name], tensor) for name, tensor in plain[1].items())


def test_bf16_trains_an_fp32_adapter_close_to_fp32(tiny_values, tmp_path):
    import torch

    curve, _ = fine_tuned(tiny_values, tmp_path, "exact")
    rounded, adapter = fine_tuned(tiny_values, tmp_path, "rounded", model={"precision": "bf16"})
    assert all(tensor.dtype == torch.float32 for tensor in adapter.values())
    assert len(rounded) == len(curve) == 6
    assert rounded == pytest.approx(curve, rel=0.05)
    assert rounded != curve
    assert rounded[-1] < rounded[0]


def test_curves_of_several_runs_in_one_process_stay_apart(tiny_values, tmp_path):
    first, _ = fine_tuned(tiny_values, tmp_path, "first")
    second, _ = fine_tuned(tiny_values, tmp_path, "second", learning_rate=0.02)
    assert len(first) == len(second) == 6
    assert first != second
