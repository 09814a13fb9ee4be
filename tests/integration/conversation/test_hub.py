"""Hub data sets as pools: read by id and configuration."""

import json
import os
import subprocess
import sys

import pytest

from helpers.loopback import serving
from helpers.places import REPOSITORY


@pytest.mark.hub
def test_hub_data_are_read_by_id_and_config(shared_hub, tmp_path):
    code = """
from dataclasses import replace
from helpers.conversations import PLAIN
from equipoise.conversation.sources import dataset_rows, load_hub
from equipoise.conversation.reading import Summary, read_records
from equipoise.errors import UserError
data = load_hub("SaylorTwift/bbh", "web_of_lies", "main", "test")
options = replace(PLAIN, columns={"prompt": "input", "response": "target"}, limit=2)
print([(record.id, record.source, record.response) for record in read_records(dataset_rows(data, "SaylorTwift/bbh"), options, Summary())])
for missing in (("SaylorTwift/bbh", "no_config", "main", "test"), ("SaylorTwift/none", None, "main", "test")):
    try:
        load_hub(*missing)
    except UserError as error:
        print(error)
"""
    with serving(shared_hub) as (address, _):
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY / "tests")}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, check=False)
    rows, config, unknown = done.stdout.splitlines()
    expected = [json.loads(line)["target"] for line in (shared_hub / "datasets/SaylorTwift/bbh/web_of_lies/test.jsonl").open()]
    assert rows == repr([(f"SaylorTwift/bbh/{i}", "SaylorTwift/bbh", expected[i]) for i in range(2)])
    assert config.startswith("pool.dataset: cannot load 'SaylorTwift/bbh' at revision 'main', config 'no_config', split 'test': ")
    assert unknown.startswith("pool.dataset: cannot load 'SaylorTwift/none' at revision 'main', split 'test': the hub has no such id")
