"""Trainings killed at any step of their saving: what is started again gives the bytes of an undisturbed one, and nothing else is left."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool
from equipoise.errors import UserError
from equipoise.layout import Run
from equipoise.store.manifest import read_manifest
from equipoise.training.epoch_checkpoints import EpochCheckpoints
from equipoise.training.fine_tune import fine_tune
from equipoise.training.warm_up import warm_up, warm_up_fingerprint
from helpers.kills import laid_out, tree_of, watched
from helpers.selections import write_selection
from helpers.trainings import prepared, run, start

RUN = Run("bids", 0, "0.5", 1, 0)
# Where one try is worth a second in the ordinary tests; the nightly ones try every step.
TELLING = re.compile(
    r"^os.rename .*epoch-2.part|^half of .*epoch-2.part/moments|^half of .*checkpoint-4/optimizer.pt|^write .*checkpoint-4/whole"
    r"|^os.rename .*json|^os.remove .*/fingerprint|^os.remove whole|^os.rename .*adapter.part"
)
NEVER = 1000


def experiment(values, **training):
    """Two epochs of two steps."""
    values = {**values, "budgets": [0.5], "selection": {"rank_to": 0.5}, "pool": values["pool"] | {"limit": 8}}
    values["training"] = values["training"] | {"batch_size": 4} | training
    values["lora"] = values["lora"] | {"dropout": 0.1}
    config = parse_config(values)
    prepare_pool(config)
    return config


def warm_up_folder(config):
    return Path(config.layout.checkpoint(1)).parent


def an_earlier_configuration(values, tmp_path, monkeypatch):
    """Leaves what a warm-up of another learning rate, killed just before it was done, has left: epochs, manifests, Trainer folder."""
    config = experiment(values, learning_rate=0.02, save_steps=2)
    with watched(warm_up_folder(config), tmp_path / "earlier", monkeypatch) as kills:
        warm_up(config)
    laid_out(kills.at("os.remove", "fingerprint"), warm_up_folder(config))
    assert {"epoch-1", "epoch-2", "epoch-1.json", "epoch-2.json", "epoch-trainer"} <= {p.name for p in warm_up_folder(config).iterdir()}


def drill(folder, copies, monkeypatch, stage, only):
    """Runs `stage` as it is, and from every tree that a kill of it may leave in `folder`; says where the results differ."""
    with watched(folder, copies, monkeypatch) as kills:
        stage()
    expected, wrong, tried = tree_of(folder), [], 0
    for kill in kills.found:
        if only is None or any(map(only.search, kill.steps)):
            laid_out(kill, folder)
            tried += 1
            try:
                stage()
            except Exception as error:
                wrong.append(f"{kill.steps}: {error!r}")
                continue
            found = tree_of(folder)
            different = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
            if different:
                wrong.append(f"{kill.steps}: {different}")
    assert tried >= (5 if only else 20)
    return expected, wrong


@pytest.mark.parametrize("only", [TELLING, pytest.param(None, marks=pytest.mark.nightly)], ids=["telling", "every step"])
@pytest.mark.parametrize(("save_steps", "earlier"), [(2, False), (3, True), (NEVER, True)], ids=["at epoch ends", "elsewhere", "never"])
def test_a_warm_up_killed_while_it_saves_gives_the_same_bytes(tiny_values, tmp_path, monkeypatch, save_steps, earlier, only):
    config = experiment(tiny_values, save_steps=NEVER)
    warm_up(config)
    undisturbed = tree_of(warm_up_folder(config))
    shutil.rmtree(warm_up_folder(config))
    if earlier:
        an_earlier_configuration(tiny_values, tmp_path, monkeypatch)
    config = experiment(tiny_values, save_steps=save_steps)
    expected, wrong = drill(warm_up_folder(config), tmp_path / "copies", monkeypatch, lambda: warm_up(config), only)
    assert expected == undisturbed
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("only", [TELLING, pytest.param(None, marks=pytest.mark.nightly)], ids=["telling", "every step"])
def test_a_fine_tuning_killed_while_it_saves_gives_the_same_bytes(tiny_values, tmp_path, monkeypatch, only):
    config = experiment(tiny_values, save_steps=1)
    folder = Path(config.layout.run(RUN))
    write_selection(config, "bids", 0, "0.5", [{"row": row, "rank": row} for row in range(8)])
    fine_tune(experiment(tiny_values, save_steps=1, learning_rate=0.02), RUN)  # an earlier configuration's adapter and manifest
    before = read_manifest(config.layout.run_manifest(RUN), "run")
    expected, wrong = drill(folder, tmp_path / "copies", monkeypatch, lambda: fine_tune(config, RUN), only)
    assert read_manifest(config.layout.run_manifest(RUN), "run")["fingerprint"] != before["fingerprint"]
    assert set(expected) == {"adapter", "manifest.json", *before["files"]}
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def killed_before_the_manifests(tiny_values, tmp_path, monkeypatch):
    """A warm-up with Trainer checkpoints at steps 2 (the end of epoch 1), 4 (the end of epoch 2), and both epochs, but no manifest."""
    config = experiment(tiny_values, save_steps=2)
    with watched(warm_up_folder(config), tmp_path / "copies", monkeypatch) as kills:
        warm_up(config)
    expected = tree_of(warm_up_folder(config))
    laid_out(kills.at("write", ".epoch-1.json"), warm_up_folder(config))
    return config, expected


@pytest.mark.parametrize(("damaged", "resumed"), [(2, "checkpoint-4"), (1, "checkpoint-2")])
def test_an_epoch_that_is_missing_is_written_from_the_state_in_which_it_ended(killed_before_the_manifests, capsys, damaged, resumed):
    config, expected = killed_before_the_manifests
    moments = Path(config.layout.checkpoint(damaged)) / "moments.safetensors"
    moments.write_bytes(moments.read_bytes()[:-1] + b"x")
    warm_up(config)
    assert resumed in capsys.readouterr().err
    assert tree_of(warm_up_folder(config)) == expected


def test_an_epoch_that_no_trainer_checkpoint_can_give_is_trained_from_the_beginning(killed_before_the_manifests, capsys):
    config, expected = killed_before_the_manifests
    shutil.rmtree(config.layout.checkpoint(1))
    shutil.rmtree(Path(config.layout.checkpoint("trainer")) / "checkpoint-2")
    warm_up(config)
    assert "resuming from" not in capsys.readouterr().err
    assert tree_of(warm_up_folder(config)) == expected


def test_whole_epochs_need_no_training(killed_before_the_manifests, capsys):
    config, expected = killed_before_the_manifests
    warm_up(config)
    assert "training" not in capsys.readouterr().err
    assert tree_of(warm_up_folder(config)) == expected


def test_no_manifest_vouches_for_another_configurations_epoch(tiny_values):
    warm_up(experiment(tiny_values, learning_rate=0.02))
    config = experiment(tiny_values)
    checkpoints = EpochCheckpoints(config, warm_up_fingerprint(config))
    assert checkpoints.missing() == [1, 2]
    with pytest.raises(UserError, match="epoch-1: damaged or replaced"):
        checkpoints.write_manifests()
    checkpoints.remove_others()
    assert list(warm_up_folder(config).iterdir()) == []


def test_the_state_of_an_epoch_names_its_training(tiny_values):
    config = experiment(tiny_values)
    warm_up(config)
    for epoch in (1, 2):
        state = json.loads((Path(config.layout.checkpoint(epoch)) / "state.json").read_text())
        assert state["fingerprint"] == warm_up_fingerprint(config)


KILLER = """
import os, signal, sys
def kill(event, arguments):
    if event == "os.rename" and "/warmup/" + os.environ["KILLED_AT"] in str(arguments[0]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(kill)
"""


@pytest.mark.slow
@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.nightly), 2])
def test_a_warm_up_killed_for_real_while_it_publishes_gives_the_same_bytes(tiny_values, tmp_path, monkeypatch, processes):
    """Killed as the last epoch is renamed, started again and killed between the manifests, started again."""
    common = {"processes": processes, "micro_batch_size": 2, "save_steps": 2}
    config, path = prepared(tiny_values, tmp_path, "killed", **common)
    run("warm_up", path)
    expected = tree_of(warm_up_folder(config))
    shutil.rmtree(warm_up_folder(config))
    killer = tmp_path / "killer"
    killer.mkdir()
    (killer / "sitecustomize.py").write_text(KILLER)
    for at in (".epoch-2.part", ".epoch-2.json"):
        with monkeypatch.context() as patch, open(tmp_path / "killed.log", "a") as log:
            patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(killer), os.environ.get("PYTHONPATH")])))
            patch.setenv("KILLED_AT", at)
            assert start("warm_up", path, log).wait() != 0, at
        assert not Path(config.layout.checkpoint_manifest(2)).exists()
    assert Path(config.layout.checkpoint_manifest(1)).exists()
    run("warm_up", path)
    assert {name: value for name, value in tree_of(warm_up_folder(config)).items() if ".part" not in name} == expected
