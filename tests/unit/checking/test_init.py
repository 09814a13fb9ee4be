"""`equipoise init` and `doctor`: a first configuration from files, and what this machine has."""

import json
import random
from dataclasses import replace

import pytest
import yaml

from equipoise.checking import doctor
from equipoise.checking.doctor import BROKEN, MISSING, OK
from equipoise.checking.first_config import Machine, first_config, in_time, material
from equipoise.checking.shown_examples import parts
from equipoise.checking.trial import Speed, expected
from equipoise.config_file import read_config
from equipoise.errors import UserError
from equipoise.process import QUIET, THREAD_VARIABLES
from helpers.commands import equipoise
from helpers.rows import texts, write_jsonl


@pytest.fixture
def files(tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TOKENIZERS_PARALLELISM", *THREAD_VARIABLES, *QUIET):
        monkeypatch.setenv(name, "1")  # the command sets them; put back afterwards
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "pool.jsonl", texts(60))
    write_jsonl(tmp_path / "sums.jsonl", texts(12, 3))
    return tmp_path


def test_init_writes_a_configuration_that_check_takes_and_shows_what_is_learned(files, tiny_base):
    done = equipoise("init", "pool.jsonl", "--task", "sums=sums.jsonl", "--base", tiny_base)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("with a loss)") == 3
    assert "⟦" in done.stdout
    assert "expected on this machine: selections in " in done.stdout
    assert done.stdout.splitlines()[-1] == "wrote my.yaml; next:  equipoise check my.yaml"
    config = read_config("my.yaml")
    assert (config.experiment, config.targets.size, list(config.tasks)) == ("my", 6, ["sums"])
    assert (config.warmup.epochs, config.warmup.fraction, config.suites["held_out"].measure) == (1, 0.2, "loss")
    again = equipoise("init", "pool.jsonl", "--task", "sums=sums.jsonl", "--base", tiny_base)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    checked = json.loads(equipoise("config", "check", "my.yaml", "--json").stdout)
    assert [(part["name"], part["rows"], part["drawn"], part["test_items"]) for part in checked["data"]] == [
        ("pool", 60, None, None),
        ("tasks.sums", 12, 6, 6),
    ]
    (files / "sums.jsonl").unlink()
    gone = equipoise("check", "my.yaml")
    assert (gone.returncode, "sums.jsonl" in gone.stderr, gone.stdout) == (2, True, "")


@pytest.mark.parametrize(("task", "words"), [("sums", "write NAME=FILE"), ("=x", "write NAME=FILE"), ("sums=none.jsonl", "none.jsonl")])
def test_a_task_without_a_file_is_one_line(files, tiny_base, task, words):
    done = equipoise("init", "pool.jsonl", "--task", task, "--base", tiny_base)
    assert (done.returncode, words in done.stderr, (files / "my.yaml").exists()) == (2, True, False)


@pytest.mark.parametrize(("machine", "device"), [(Machine(2, 0), "cpu"), (Machine(64, 0), "cpu"), (Machine(16, 2), "auto")])
def test_every_machine_gets_a_valid_configuration(files, tiny_base, machine, device):
    found = material(["pool.jsonl"], {"sums": ["sums.jsonl"]}, str(tiny_base), "mine", machine)
    config = first_config(found)
    assert config.model.device == device
    assert yaml.safe_load(yaml.safe_dump(found.values)) == found.values


def test_what_is_learned_is_what_has_a_loss():
    class Words:
        def decode(self, tokens, skip_special_tokens):
            return " ".join(map(str, tokens))

    from equipoise.modelling.chat import Encoded

    assert parts(Encoded([5, 6, 7, 8, 9], 2, ((3, 4),)), Words()) == [("5 6", False), ("7", True), ("8", False), ("9", True)]


def test_the_time_grows_with_what_has_to_be_done(files, tiny_base):
    config = first_config(material(["pool.jsonl"], {"sums": ["sums.jsonl"]}, str(tiny_base), "mine", Machine(2, 0)))
    lengths = [random.Random(i).randrange(5, 30) for i in range(60)]
    slow, fast = (expected(config, Speed(s, s, s, 1.0), lengths, [10] * 6, 60, 2) for s in (0.2, 0.1))
    assert slow.selections > fast.selections > 0
    assert slow.report > slow.selections
    assert slow.report - fast.report == pytest.approx(fast.report - expected(config, Speed(0, 0, 0, 1.0), lengths, [10] * 6, 60, 2).report)


def test_what_would_take_too_long_collects_gradients_of_as_many_rows_as_fit(files, tiny_base):
    write_jsonl(files / "pool.jsonl", texts(2000))
    found = material(["pool.jsonl"], {"sums": ["sums.jsonl"]}, str(tiny_base), "mine", Machine(2, 0))

    def decided(speed: float) -> tuple[dict, str, float]:
        def seconds(config) -> float:
            return expected(config, Speed(speed, speed, speed / 4, 5.0), [20] * 2000, [20] * 6, 120, 2).selections

        values, why = in_time(found.values, 2000, seconds)
        return values["gradients"], why, seconds(first_config(replace(found, values=values)))

    gradients, why, _ = decided(0.01)
    assert ("estimator" not in gradients, why) == (True, "")
    gradients, why, after = decided(0.08)
    share = gradients["mates"]["share"]
    assert (gradients["estimator"], share in (0.5, 0.3, 0.2), after <= 45 * 60) == ("mates", True, True)
    assert f"so {share:.0%} of the rows get gradients" in why
    gradients, _, after = decided(1.0)
    assert (gradients["mates"]["share"], after > 45 * 60) == (0.1, True)  # nothing makes it fit; what is told is what it takes


def test_what_is_broken_or_missing_has_a_remedy_and_a_status(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(doctor, "_sandbox", lambda: iter(()))  # it starts processes
    monkeypatch.setattr(doctor, "_first_line", lambda command: None)
    found = {each.what: each for each in doctor.findings(tmp_path)}
    assert {"Python", "pipeline", "torch", "driver", "GPU", "disk", "Slurm", "hub"} <= found.keys()
    assert all(bool(each.remedy) == (each.state != OK) for each in found.values())
    assert (found["Slurm"].state, found["hub"].state) == (MISSING, MISSING)
    assert equipoise("doctor", "--json").returncode == 0
    monkeypatch.setattr(doctor, "_installed", lambda name: name != "torch")
    done = equipoise("doctor")
    assert (done.returncode, "cannot run: pipeline" in done.stdout, "pip install" in done.stdout) == (1, True, True)
    assert BROKEN in done.stdout


def test_a_file_that_holds_nothing_is_one_line(files, tiny_base):
    (files / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match=r"pool: 0 examples in empty\.jsonl"):
        material(["empty.jsonl"], {"sums": ["sums.jsonl"]}, str(tiny_base), "mine", Machine(2, 0))
