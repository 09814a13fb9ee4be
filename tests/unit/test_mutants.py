"""Mutants that no test noticed (`make mutants`, tests/mutation) are explained, and explanations are of such mutants."""

import json

import yaml

from helpers.places import REPOSITORY

FOLDER = REPOSITORY / "tests" / "mutation"


def test_every_survivor_is_explained():
    results = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    explained = yaml.safe_load((FOLDER / "explained.yaml").read_text(encoding="utf-8")) or {}
    survivors = {name: each for name, each in results.items() if each["verdict"] in ("survived", "not reached")}
    unexplained = [f"{name} {each['module']}:{each['line']} {each['before']} -> {each['after']}" for name, each in survivors.items()]
    assert [line for line in unexplained if line.split()[0] not in explained] == []
    assert explained.keys() <= survivors.keys()
