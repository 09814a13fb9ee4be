"""Training as it runs in a job: several processes, kills, curves, number formats, memory-saving options."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from equipoise.errors import UserError
from equipoise.layout import Layout, Run
from equipoise.store.manifest import read_manifest
from equipoise.training.fine_tune import fine_tune
from equipoise.training.warm_up import warm_up
from helpers.rows import write_jsonl
from helpers.training_jobs import losses, prepared, run, start

RUN = Run("bids", 0, "0.2", 3, 0)
SECONDS_TO_WAIT = 300


def layout_of(config):
    return config.layout


@pytest.mark.slow
def test_two_processes_follow_the_loss_curve_of_one(tiny_values, tmp_path):
    """Same batches, cut in two: the curves, the adapter and the moments agree; only rounding may differ."""
    import torch
    from safetensors.torch import load_file

    common = {"micro_batch_size": 2, "report_to": ["tensorboard"], "save_steps": 4}
    one, _ = prepared(tiny_values, tmp_path, "one", **common)
    warm_up(one)
    two, path = prepared(tiny_values, tmp_path, "two", processes=2, **common)
    run("warm_up", path)
    curves = [losses(Path(layout_of(config).checkpoint("x")).parent / "tensorboard") for config in (one, two)]
    assert [step for step, _ in curves[0]] == list(range(1, 11))
    assert [step for step, _ in curves[1]] == list(range(1, 11))
    values = [[value for _, value in curve] for curve in curves]
    assert values[1] == pytest.approx(values[0], rel=1e-4)
    assert max(values[0]) - min(values[0]) > 0.2, "a flat curve would compare nothing"
    for epoch in (1, 2):
        folders = [Path(layout_of(config).checkpoint(epoch)) for config in (one, two)]
        states = [json.loads((folder / "state.json").read_text()) for folder in folders]
        for state in states:
            del state["fingerprint"], state["files"]  # of other inputs, and of numbers that are rounded otherwise
        assert states[0] == states[1]
        for file in ("adapter_model.safetensors", "moments.safetensors"):
            first, second = (load_file(folder / file) for folder in folders)
            assert first.keys() == second.keys()
            for name in first:
                assert torch.allclose(first[name], second[name], rtol=1e-2, atol=1e-4), name
        assert read_manifest(layout_of(two).checkpoint_manifest(epoch), "checkpoint")["epoch"] == epoch


def kill_after_first_save(process, scratch):
    """SIGKILL to the whole group as soon as a Trainer checkpoint is whole."""
    give_up = time.monotonic() + SECONDS_TO_WAIT
    while not list(scratch.glob("**/checkpoint-*/whole")):
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < give_up, "no checkpoint appeared"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_warm_up_killed_for_real_resumes_to_the_same_bytes(tiny_values, tmp_path, processes):
    values = {**tiny_values, "warmup": {"epochs": 12}, "lora": tiny_values["lora"] | {"dropout": 0.1}}
    common = {"processes": processes, "micro_batch_size": 2}
    _, path = prepared(values, tmp_path, "whole", **common)
    run("warm_up", path)
    config, path = prepared(values, tmp_path, "killed", save_steps=7, **common)
    scratch = Path(layout_of(config).checkpoint("trainer"))
    with open(tmp_path / "killed.log", "w") as log:
        kill_after_first_save(start("warm_up", path, log), scratch)
    assert not Path(layout_of(config).checkpoint_manifest(1)).exists()
    assert "resuming from" in run("warm_up", path)
    whole = Layout(config.results, "whole", config.model.name)
    for epoch in range(1, 13):
        expected = read_manifest(whole.checkpoint_manifest(epoch), "checkpoint")
        assert read_manifest(layout_of(config).checkpoint_manifest(epoch), "checkpoint") == expected
    assert not scratch.exists()


@pytest.mark.slow
def test_a_fine_tuning_killed_for_real_resumes_to_the_same_manifest(tiny_values, tmp_path):
    values = {**tiny_values, "lora": tiny_values["lora"] | {"dropout": 0.1}}
    manifests = []
    for name, save_steps in (("whole", 1000), ("killed", 7)):
        config, path = prepared(values, tmp_path, name, batch_size=2, micro_batch_size=1, save_steps=save_steps)
        rows = [{"row": row, "rank": rank} for rank, row in enumerate(range(0, 40, 2))]
        write_jsonl(Path(layout_of(config).selection("bids", 0, "0.2")), rows)
        if name == "killed":
            with open(tmp_path / "killed.log", "w") as log:
                kill_after_first_save(start("fine_tune", path, log, "--run", RUN.path), Path(layout_of(config).run(RUN)) / "trainer")
            assert not Path(layout_of(config).run_manifest(RUN)).exists()
        said = run("fine_tune", path, "--run", RUN.path)
        assert ("resuming from" in said) == (name == "killed")
        manifests.append(read_manifest(layout_of(config).run_manifest(RUN), "run"))
    assert manifests[0] == manifests[1]
    assert manifests[0]["steps"] == 30


def test_a_batch_cut_for_other_processes_is_refused(tiny_values, tmp_path):
    config, _ = prepared(tiny_values, tmp_path, "two", processes=2, micro_batch_size=2)
    with pytest.raises(UserError, match="where the stage starts them"):
        warm_up(config)


@pytest.mark.slow
def test_a_mistake_that_training_processes_find_is_told_without_a_traceback(tiny_values, tmp_path):
    config, path = prepared(tiny_values, tmp_path, "two", processes=2, micro_batch_size=2)
    Path(layout_of(config).pool_manifest).unlink()
    with open(tmp_path / "two.log", "w") as log:
        status = start("warm_up", path, log).wait()
    said = (tmp_path / "two.log").read_text()
    assert status == 2, said
    assert "Traceback" not in said
    errors = {line for line in said.splitlines() if line.startswith("error: ")}
    assert len(errors) == 1, "both processes say the same"
    assert layout_of(config).pool_manifest in errors.pop()


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
    write_jsonl(Path(layout_of(config).selection("bids", 0, "0.2")), [{"row": row, "rank": row} for row in range(16)])
    fine_tune(config, RUN)
    folder = Path(layout_of(config).run(RUN))
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
    assert len(calls) == 3 * once, "every layer runs forward twice"
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
