"""Training as it runs in a job: several processes, kills, curves, number formats, memory-saving options."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from equipoise.layout import Layout
from equipoise.store.manifest import read_manifest
from equipoise.training.warm_up import warm_up
from helpers.selections import write_selection
from helpers.trainings import RUN, losses, prepared, run, start

SECONDS_TO_WAIT = 300


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
    curves = [losses(Path(config.layout.checkpoint("x")).parent / "tensorboard") for config in (one, two)]
    assert [step for step, _ in curves[0]] == list(range(1, 11))
    assert [step for step, _ in curves[1]] == list(range(1, 11))
    values = [[value for _, value in curve] for curve in curves]
    assert values[1] == pytest.approx(values[0], rel=1e-4)
    assert max(values[0]) - min(values[0]) > 0.2, "a flat curve would compare nothing"
    for epoch in (1, 2):
        folders = [Path(config.layout.checkpoint(epoch)) for config in (one, two)]
        states = [json.loads((folder / "state.json").read_text()) for folder in folders]
        for state in states:
            del state["fingerprint"], state["files"]  # of other inputs, and of numbers that are rounded otherwise
        assert states[0] == states[1]
        for file in ("adapter_model.safetensors", "moments.safetensors"):
            first, second = (load_file(folder / file) for folder in folders)
            assert first.keys() == second.keys()
            for name in first:
                assert torch.allclose(first[name], second[name], rtol=1e-2, atol=1e-4), name
        assert read_manifest(two.layout.checkpoint_manifest(epoch), "checkpoint")["epoch"] == epoch


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
@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.nightly), 2])
def test_a_warm_up_killed_for_real_resumes_to_the_same_bytes(tiny_values, tmp_path, processes):
    values = {**tiny_values, "warmup": {"epochs": 12}, "lora": tiny_values["lora"] | {"dropout": 0.1}}
    common = {"processes": processes, "micro_batch_size": 2}
    _, path = prepared(values, tmp_path, "whole", **common)
    run("warm_up", path)
    config, path = prepared(values, tmp_path, "killed", save_steps=7, **common)
    scratch = Path(config.layout.checkpoint("trainer"))
    with open(tmp_path / "killed.log", "w") as log:
        kill_after_first_save(start("warm_up", path, log), scratch)
    assert not Path(config.layout.checkpoint_manifest(1)).exists()
    assert "resuming from" in run("warm_up", path)
    whole = Layout(config.results, "whole", config.model.name)
    for epoch in range(1, 13):
        expected = read_manifest(whole.checkpoint_manifest(epoch), "checkpoint")
        assert read_manifest(config.layout.checkpoint_manifest(epoch), "checkpoint") == expected
    assert not scratch.exists()


@pytest.mark.slow
def test_a_fine_tuning_killed_for_real_resumes_to_the_same_manifest(tiny_values, tmp_path):
    values = {**tiny_values, "lora": tiny_values["lora"] | {"dropout": 0.1}}
    manifests = []
    for name, save_steps in (("whole", 1000), ("killed", 7)):
        config, path = prepared(values, tmp_path, name, batch_size=2, micro_batch_size=1, save_steps=save_steps)
        rows = [{"row": row, "rank": rank} for rank, row in enumerate(range(0, 40, 2))]
        write_selection(config, "bids", 0, "0.2", rows)
        if name == "killed":
            with open(tmp_path / "killed.log", "w") as log:
                kill_after_first_save(start("fine_tune", path, log, "--run", RUN.path), Path(config.layout.run(RUN)) / "trainer")
            assert not Path(config.layout.run_manifest(RUN)).exists()
        said = run("fine_tune", path, "--run", RUN.path)
        assert ("resuming from" in said) == (name == "killed")
        manifests.append(read_manifest(config.layout.run_manifest(RUN), "run"))
    assert manifests[0] == manifests[1]
    assert manifests[0]["steps"] == 30


@pytest.mark.slow
def test_a_mistake_that_training_processes_find_is_told_without_a_traceback(tiny_values, tmp_path):
    config, path = prepared(tiny_values, tmp_path, "two", processes=2, micro_batch_size=2)
    Path(config.layout.pool_manifest).unlink()
    with open(tmp_path / "two.log", "w") as log:
        status = start("warm_up", path, log).wait()
    said = (tmp_path / "two.log").read_text()
    assert status == 2, said
    assert "Traceback" not in said
    errors = {line for line in said.splitlines() if line.startswith("error: ")}
    assert len(errors) == 1, "both processes say the same"
    assert config.layout.pool_manifest in errors.pop()
