"""What goes wrong between a hub and this machine is one line that says what, where and what to do, and leaves nothing half-written."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from equipoise.data.pool import prepare_pool
from helpers import warm
from helpers.loopback import Hub
from helpers.rows import write_jsonl

POOL = "openbmb/UltraInteract_sft"
HUMAN_EVAL = "openai/openai_humaneval"
BASE = "meta-llama/Meta-Llama-3-8B"


@pytest.fixture
def hub(shared_hub):
    hub = Hub(shared_hub)
    yield hub
    hub.close()


@pytest.fixture
def values(tmp_path) -> dict:
    return {
        "experiment": "fetched",
        "results": str(tmp_path / "results"),
        "model": {"name": "tiny", "base": BASE, "precision": "fp32", "device": "cpu"},
        "pool": {"dataset": POOL, "limit": 20},
        "targets": {"size": 5},
        "tasks": {"human_eval": {"capability": "coding", "benchmark": "human_eval"}},
    }


def stage(name: str, values: dict, folder: Path, address: str, **environment: str) -> subprocess.CompletedProcess:
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(values))
    command = [warm.ANY_HUB.start(), "-m", "equipoise", name, "--config", str(path)]
    surroundings = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(folder / "hf"), **environment}
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=300, check=False)


def refusal(done: subprocess.CompletedProcess, values: dict) -> str:
    """The one error line of a stage that refused, after checking how it did."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert not list(Path(values["results"]).rglob("*.*")), "nothing is left"
    return line


def dataset(root: Path, name: str, rows: list[dict], split: str = "test") -> Path:
    """A hub data set of one split below `root`."""
    folder = root / "datasets" / name
    write_jsonl(folder / f"{split}.jsonl", rows)
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: {split}\n    path: {split}.jsonl\n---\n"
    (folder / "README.md").write_text(card)
    return root


@pytest.mark.slow
@pytest.mark.hub
def test_gated_missing_and_unreachable_ids_are_one_line(hub, values, tmp_path):
    hub.gated = {BASE}
    line = refusal(stage("fetch", values, tmp_path, hub.address), values)
    assert f"model.base: cannot load '{BASE}'" in line
    assert "it is gated; accept its terms on its page, then set HF_TOKEN" in line
    hub.gated = {POOL}
    line = refusal(stage("fetch", values, tmp_path, hub.address), values)
    assert f"pool.dataset: cannot load '{POOL}'" in line
    assert "it is gated" in line
    hub.gated = {HUMAN_EVAL}
    line = refusal(stage("fetch", values, tmp_path, hub.address), values)
    assert "tasks.human_eval.lm_eval_tasks" in line
    assert "it is gated" in line
    missing = values | {"pool": {"dataset": "openbmb/No_Such_Pool"}}
    line = refusal(stage("fetch", missing, tmp_path, hub.address), missing)
    assert "pool.dataset: cannot load 'openbmb/No_Such_Pool' at revision 'main': the hub has no such id (or it is private)" in line
    line = refusal(stage("fetch", values, tmp_path / "..", "http://127.0.0.1:9", HF_HOME=str(tmp_path / "empty")), values)
    assert "the hub cannot be reached; check the network" in line


@pytest.mark.slow
@pytest.mark.hub
def test_data_of_another_schema_are_one_line(hub, values, tmp_path):
    wrong = dataset(tmp_path / "wrong", HUMAN_EVAL, [{"text": "no such columns"}] * 9)
    hub.revisions = {"main": dataset(wrong, POOL, [{"query": "q", "reply": "a"}] * 9, "train")}
    line = refusal(stage("fetch", values, tmp_path, hub.address), values)
    assert f"{POOL}:1: no form fits its fields" in line
    assert "(query, reply)" in line
    values["pool"] = {"files": [write_jsonl(tmp_path / "pool.jsonl", [{"prompt": "p", "response": "r"}])]}
    line = refusal(stage("fetch", values, tmp_path, hub.address), values)
    assert (
        "cannot load the data of lm-eval task 'equipoise_human_eval': its data lack a column that is read ('prompt' is undefined)" in line
    )
    rows = [{"prompt": f"def f{i}():", "canonical_solution": "", "entry_point": f"f{i}", "other": ""} for i in range(9)]
    shutil.rmtree(tmp_path / "hf")
    hub.revisions = {"main": dataset(tmp_path / "half", HUMAN_EVAL, rows)}
    for name in ("fetch", "prepare_targets"):
        line = refusal(stage(name, values, tmp_path, hub.address), values)
        assert f"tasks.human_eval: {HUMAN_EVAL}, split test, has no column 'test', it has prompt, canonical_solution" in line


@pytest.mark.slow
@pytest.mark.hub
def test_every_part_comes_at_its_own_revision_and_the_commits_are_noted(hub, values, tmp_path):
    source = hub._serve.find("datasets", HUMAN_EVAL) / "test.jsonl"
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").split("\n") if line][:30]
    old = dataset(tmp_path / "old", HUMAN_EVAL, rows)
    dataset(old, POOL, [{"instruction": f"q {i}", "response": "a"} for i in range(7)], "train")
    hub.revisions = {"v1": old}
    values["tasks"]["human_eval"]["revision"] = "v1"
    values["pool"] = {"dataset": POOL, "revision": "v1"}
    done = stage("fetch", values, tmp_path, hub.address)
    assert done.returncode == 0, done.stderr
    fetched = json.loads((tmp_path / "results" / "fetched" / "fetch.json").read_text())
    pinned = [hub.commit("datasets", name, old) for name in (HUMAN_EVAL, POOL)]
    assert [fetched["tasks"]["human_eval"]["equipoise_human_eval"], fetched["pool"]["commits"]] == [[commit] for commit in pinned]
    assert fetched["pool"]["rows"] == 7
    assert ("datasets", HUMAN_EVAL, "v1") in hub.asked
    assert not [asked for asked in hub.asked if asked[0] == "datasets" and asked[2] == "main"]
    offline = {"HF_HUB_OFFLINE": "1"}
    for name in ("prepare_targets", "prepare_pool"):
        done = stage(name, values, tmp_path, hub.address, **offline)
        assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "results" / "fetched" / "tiny" / "targets" / "human_eval" / "manifest.json").read_text())
    assert manifest["sources"] == {"equipoise_human_eval": [pinned[0]]}
    other = {
        **values,
        "results": str(tmp_path / "other"),
        "pool": {"dataset": POOL},
        "tasks": {"human_eval": {**values["tasks"]["human_eval"]}},
    }
    del other["tasks"]["human_eval"]["revision"]
    done = stage("fetch", other, tmp_path, hub.address)
    assert done.returncode == 0, done.stderr
    for name, key in (("prepare_targets", "tasks.human_eval.revision"), ("prepare_pool", "pool.revision")):
        done = stage(name, values, tmp_path, hub.address, **offline)
        assert done.returncode == 2, "the cache's latest commit is not the pinned one"
        assert f"error: {key}: the cache holds commit" in done.stderr
    values["tasks"]["human_eval"]["revision"] = "v9"
    values["results"] = str(tmp_path / "third")
    hub.absent = {"v9"}
    line = refusal(stage("fetch", values, tmp_path, hub.address), values)
    assert "tasks.human_eval.lm_eval_tasks" in line
    assert "it has no such revision; write a branch, tag or commit of it" in line


@pytest.mark.slow
@pytest.mark.hub
def test_of_a_base_its_safetensors_configuration_and_tokenizer_are_fetched_and_nothing_else(hub, tiny_values, tmp_path):
    folder = tmp_path / "main" / "models" / BASE
    shutil.copytree(hub._serve.find("models", BASE), folder)
    parts = {path.name for path in folder.iterdir()} | {"merges.txt"}
    decoys = ["original/consolidated.00.pth", "original/params.json", "consolidated.safetensors", "onnx/model.onnx", "onnx/config.json"]
    decoys += ["pytorch_model.bin", "tf_model.h5", "README.md", "LICENSE.txt", "runs/model.safetensors"]
    for name in [*decoys, "merges.txt"]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    hub.revisions = {"main": tmp_path / "main"}
    tiny_values["model"]["base"] = BASE
    done = stage("fetch", tiny_values, tmp_path, hub.address)
    assert done.returncode == 0, done.stderr
    (snapshot,) = (tmp_path / "hf" / "hub").glob("models--*/snapshots/*")
    assert {str(path.relative_to(snapshot)) for path in snapshot.rglob("*") if path.is_file()} == parts
    done = stage("prepare_pool", tiny_values, tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    for name in (name for name in parts if name.endswith(".safetensors")):
        (folder / name).unlink()
    tiny_values["results"] = str(tmp_path / "other")
    line = refusal(stage("fetch", tiny_values, tmp_path, hub.address), tiny_values)
    assert f"model.base: {BASE} has no weights as model*.safetensors" in line


def on_a_small_disk(folder: Path, command: list[str], size: str = "32k", **environment: str) -> subprocess.CompletedProcess:
    """Runs a command with a small file system at `folder`, 28 kB of it full, in a mount namespace of its own; its files are listed.

    What lies in `folder` lies on that file system too.
    """
    folder.mkdir(exist_ok=True)
    inside = f"cp -a {folder} {folder}.before && mount -t tmpfs -o size={size} tmpfs {folder} && cp -a {folder}.before/. {folder} "
    inside += f"&& head -c 28k /dev/zero > {folder}/others"
    own = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*own, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespace")
    line = f"{inside} && {shlex.join(command)}; status=$?; find {folder} -type f; exit $status"
    done = subprocess.run([*own, line], env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("name", ["prepare_pool", "prepare_targets"])
def test_a_full_disk_is_one_line_and_leaves_no_part(name, tiny_values, tmp_path):
    tiny_values["pool"]["files"] = [write_jsonl(tmp_path / "pool.jsonl", [{"prompt": f"{i}" * 80, "response": "r"} for i in range(3000)])]
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(tiny_values))
    done = on_a_small_disk(tmp_path / "results", [sys.executable, "-m", "equipoise", name, "--config", str(path)])
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "no space left; free some and run again" in line
    assert not [name for name in done.stdout.split() if name.endswith((".part", "manifest.json"))], "whole files may stay, parts not"


@pytest.mark.slow
@pytest.mark.parametrize(("size", "rank", "save_steps"), [("96k", 64, 1000), ("180k", 4, 2)], ids=["safetensors", "torch.save"])
def test_a_disk_that_fills_while_training_is_one_line(tiny_config, tmp_path, size, rank, save_steps):
    """What fills it: the adapter of the first epoch, or the Trainer's own checkpoint, whose optimizer is written by torch."""
    tiny_config.lora.rank, tiny_config.training.save_steps = rank, save_steps
    prepare_pool(tiny_config)
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(tiny_config.model_dump(mode="json")))
    done = on_a_small_disk(tmp_path / "results", [sys.executable, "-m", "equipoise", "warm_up", "--config", str(path)], size)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "no space left; free some and run again, finished work is kept" in line
    assert not [name for name in done.stdout.split() if name.endswith("epoch-1.json")]


@pytest.mark.slow
@pytest.mark.hub
def test_a_full_cache_is_one_line_of_the_fetch(hub, values, tmp_path):
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "equipoise", "fetch", "--config", str(path)]
    done = on_a_small_disk(tmp_path / "hf", command, HF_ENDPOINT=hub.address, HF_HOME=str(tmp_path / "hf"))
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "model.base" in line
    assert "no space left where the hub's cache lies (HF_HOME); free some and run again" in line
    assert not list(Path(values["results"]).rglob("*.*"))
