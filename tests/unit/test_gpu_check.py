"""All of `make gpu-check` in small on the CPU, and the table that it fills."""

import json

import pytest

from equipoise.planning.hardware import GPUS
from gpu import check, equality, table
from helpers.places import REPOSITORY

SPEEDS = ("collection / plain", "tokens a second", "seconds / the plan's", "seconds a step / the plan's")


def test_every_check_holds_in_small(tmp_path, capsys):
    path = tmp_path / "measured.json"
    check.main(["--device", "cpu", "--small", "--output", str(path)])
    made = json.loads(path.read_text())
    assert (made["device"], made["small"]) == ("CPU", True)
    values = {each["what"]: each for each in made["checks"]}
    assert len(values) == len(made["checks"]) >= 17
    assert values["all of this, seconds"]["goal"] == 480
    for what, each in values.items():
        assert each["holds"] or any(speed in what for speed in SPEEDS), each  # speeds are a GPU's goals
        assert each["value"] >= 0
    assert sum(any(speed in what for speed in SPEEDS) for what in values) == 5
    assert f"of {len(values)} goals met" in capsys.readouterr().out
    assert table.lines(path) == [table.HEAD.format("not measured")], "a run in small is no measurement"


def test_a_wrong_row_misses_its_goal(monkeypatch):
    import torch

    from gpu.models import IN_SMALL

    real = equality.pad
    monkeypatch.setattr(equality, "_distance", lambda found, expected: 0.5)
    missed = [each.what for each in equality.checks(IN_SMALL, torch.device("cpu")) if not each.holds]
    assert len(missed) == 4
    assert equality.pad is real


def test_without_a_gpu_nothing_is_measured(tmp_path, capsys):
    path = tmp_path / "measured.json"
    assert check.main(["--output", str(path)]) == 2
    assert not path.exists()
    assert "not measured" in capsys.readouterr().err


def test_the_documents_table_is_generated_from_what_was_measured(tmp_path):
    said = (REPOSITORY / "docs" / "speed.md").read_text(encoding="utf-8")
    assert "\n".join(table.lines()) in said, "PYTHONPATH=tests python -m gpu.table"
    path = tmp_path / "measured.json"
    one = {"what": "collection / plain", "value": 1.2345, "goal": 1.1, "unit": "", "at_least": False, "holds": False}
    path.write_text(json.dumps({"device": "NVIDIA H100", "small": False, "checks": [one]}))
    assert table.lines(path)[1] == "| collection / plain | 1.23 (missed) | at most 1.1 |"


@pytest.mark.parametrize(("name", "memory", "card"), [("NVIDIA H200", 141e9, "H200"), ("NVIDIA L40S", 48e9, "A100")])
def test_the_plan_is_asked_for_this_card(monkeypatch, name, memory, card):
    import torch

    from gpu.speed import _card

    held = type("Held", (), {"name": name, "total_memory": memory})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda place: held)
    assert _card(torch.device("cuda", 0)) == card
    assert card in GPUS
