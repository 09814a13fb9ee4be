"""What depends on what: dry runs and a small real run of the DAG up to the selections."""

import shutil
import subprocess
import sys

import pytest
import yaml

from helpers import warm
from helpers.places import REPOSITORY
from helpers.rows import texts, write_jsonl
from helpers.workflow_runs import Workflow, evaluated

UNKNOWN = {
    "warmup/epoch-2/moments.safetensors": ("warm_up", {"prepare_pool", "prepare_targets"}),
    "gradients/pool/epoch-1/store/directions/c/1/0": ("collect_pool_gradients", {"prepare_pool", "warm_up", "collect_target_gradients"}),
    "attribution/influence/matrix.zarr/c/0/0": ("assemble_attribution", {"prepare_pool", "warm_up", "collect_pool_gradients"}),
}
"""Files that no rule names, the rule that makes each, and rules that losing it does not concern."""
MATRIX_AND_SELECTIONS = "**/attribution/**/*", "**/selection/**/*.jsonl"


def listing(folder) -> dict[str, int]:
    """Every file below a folder and when it was written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def workflow(tiny_values, tmp_path):
    tiny_values["jobs"] = {"epochs": "together", "tasks": "together", "runs": "separate"}
    return Workflow(tmp_path, tiny_values)


def test_a_mistake_in_the_configuration_is_one_line_before_any_job(workflow):
    workflow.values["lora"]["rnk"] = 1
    done = workflow.snakemake()
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert errors == ["error: configuration: lora.rnk: unknown key; did you mean rank?"]
    assert "Traceback" not in done.stderr
    assert not workflow.results.exists()


def test_a_given_configfile_is_not_merged_with_the_miniature(workflow):
    workflow.values["suites"] = {}
    assert "generate_miniature" not in workflow.planned("selections")


def test_a_report_of_nothing_is_refused_before_any_job_and_the_selections_are_not(workflow):
    done = workflow.snakemake()
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert line.startswith("error: tasks: none names a suite")
    assert "or ask for the target selections or matrix" in line
    assert "Traceback" not in done.stderr
    assert not workflow.results.exists()
    assert workflow.planned("selections")["select_budget"] == 9  # two of every selector, for both seeds of random, and full
    workflow.values |= evaluated(workflow.values)
    assert workflow.planned()["report"] == 1


def test_a_first_look_waits_for_the_first_selectors_alone_and_is_no_part_of_the_whole(workflow):
    workflow.values |= evaluated(workflow.values)
    assert "report_partial" not in workflow.planned()
    early = workflow.planned("report_partial")
    assert (early["report_partial"], early["fine_tune"]) == (1, 4)  # random by one selection seed and task_max, each at two budgets
    assert early["evaluate"] == 5  # and the untouched base
    assert "report" not in early


def test_a_tool_for_curves_that_is_not_installed_is_one_line_before_any_job(workflow):
    workflow.values["training"]["report_to"], workflow.values["python"] = ["wandb"], "python"
    done = workflow.snakemake("selections")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert line.startswith("error: training.report_to: wandb is not installed")


def test_overrides_from_the_command_line_are_coerced(workflow):
    planned = workflow.planned("selections", "--config", "budgets=[0.05,4]", "selectors=[bids,round_robin]", "selection={rank_to: 0.2}")
    assert planned["rank"] == 2
    assert planned["select_budget"] == 4


@pytest.mark.parametrize("profile", ["profiles/local", "profiles/slurm", "slurm"])
def test_profiles_resolve_from_the_root(profile):
    command = [warm.SNAKEMAKE.start(), "-m", "snakemake", "--profile", profile, "-n", "--quiet", "rules"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_rule_has_a_docstring():
    done = subprocess.run([warm.SNAKEMAKE.start(), "-m", "snakemake", "-l"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    bare = [line for line in done.stdout.splitlines() if line.strip() and "(" not in line]
    assert bare == []


def test_parsing_the_snakefile_imports_neither_torch_nor_transformers(workflow):
    trace = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "-n", "--quiet", "all"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in trace.stderr.splitlines() if line.startswith("import time:")}
    assert not imported & {"torch", "transformers", "peft", "zarr", "lm_eval"}


def test_stages_are_separate_or_folded_by_configuration(workflow):
    assert workflow.planned("selections")["collect_target_gradients"] == 1
    workflow.values["jobs"] = {"epochs": "separate", "tasks": "separate", "runs": "separate"}
    planned = workflow.planned("selections")
    assert planned["collect_pool_gradients"] == 2  # epochs
    assert planned["collect_target_gradients"] == 2 * 2  # epochs x tasks
    assert planned["prepare_targets"] == 2


def test_one_job_assembles_the_rows_of_many_shards(workflow):
    workflow.values["pool"]["shards"] = 5
    workflow.values["jobs"]["assembly"] = 2
    assert workflow.planned("matrix")["assemble_attribution"] == 3  # shards 0 and 1, 2 and 3, 4


@pytest.mark.slow
def test_a_real_run_reruns_only_what_depends_on_a_change(workflow, tmp_path):
    workflow.values["pool"] = {"files": [write_jsonl(tmp_path / "wide.jsonl", texts(1100))], "shards": 2}
    workflow.values["model"]["max_length"] = 16
    workflow.values["training"] |= {"batch_size": 128, "micro_batch_size": 128}
    workflow.values["selectors"] = ["bids", "task_max"]
    workflow.values["jobs"] = {"epochs": "separate", "tasks": "separate"}
    workflow.run("selections", cores=1)
    assert workflow.planned("selections") == {}
    first = {pattern: workflow.digests(pattern) for pattern in MATRIX_AND_SELECTIONS}
    assert all(first.values())

    # A lost manifest: its shard and what depends on it, nothing else.
    lost = workflow.results / "tiny" / "tiny" / "gradients" / "pool" / "epoch-1" / "shard-00001.json"
    content = lost.read_bytes()
    lost.unlink()
    planned = workflow.planned("selections")
    assert planned["collect_pool_gradients"] == 1
    assert planned.get("assemble_attribution", 0) <= 1
    assert not planned.keys() & {"prepare_pool", "prepare_targets", "warm_up", "collect_target_gradients"}
    workflow.run("selections", cores=2)
    assert lost.read_bytes() == content
    assert {pattern: workflow.digests(pattern) for pattern in MATRIX_AND_SELECTIONS} == first

    # What a manifest vouches for, and snakemake does not know of: its job is planned, nothing is touched, and the run makes the same again.
    root = workflow.results / "tiny" / "tiny"
    for gone, (rule, spared) in UNKNOWN.items():
        whole = (root / gone).read_bytes()
        (root / gone).unlink()
        left = listing(workflow.results)
        planned = workflow.planned("selections")
        assert planned[rule] == 1, gone
        assert not planned.keys() & spared, gone
        assert listing(workflow.results) == left
        if rule != "assemble_attribution":
            (root / gone).write_bytes(whole)
    workflow.run("selections", cores=2)
    assert {pattern: workflow.digests(pattern) for pattern in MATRIX_AND_SELECTIONS} == first
    shutil.copytree(workflow.results, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    shutil.rmtree(workflow.results)
    (tmp_path / "elsewhere").rename(workflow.results)
    assert workflow.planned("selections") == {}, "a copy of the results stays valid"

    # A further warm-up costs itself and the gradients at its checkpoints; the first one's are kept.
    workflow.values["warmup"]["seeds"] = [0, 7]
    added = {"warm_up": 1, "collect_pool_gradients": 4, "collect_target_gradients": 4}
    assert workflow.planned("matrix") == {**added, "assemble_attribution": 2, "seal_attribution": 1}
    del workflow.values["warmup"]["seeds"]

    # A new budget is a prefix: no ranking is made again.
    workflow.values["budgets"] = [0.05, 0.1, 0.2]
    assert workflow.planned("selections") == {"select_budget": 2}

    # A new task costs its own validation set, gradients and columns.
    workflow.values["budgets"] = [0.1, 0.2]
    third = {"capability": "code", "files": [write_jsonl(tmp_path / "third.jsonl", texts(6, 17))]}
    workflow.values["tasks"]["third"] = third
    planned = workflow.planned("selections")
    assert planned["prepare_targets"] == 1
    assert planned["collect_target_gradients"] == 2  # epochs
    assert not planned.keys() & {"prepare_pool", "warm_up", "collect_pool_gradients"}
    del workflow.values["tasks"]["third"]

    # Another experiment folder with other job cuts and cores gives the same bytes.
    other = Workflow(tmp_path, workflow.values | {"results": str(tmp_path / "other"), "jobs": {"epochs": "together", "tasks": "together"}})
    other.run("selections", cores=2)
    assert {pattern: other.digests(pattern) for pattern in MATRIX_AND_SELECTIONS} == first


def test_unlocking_spares_a_live_owner(tmp_path):
    hold = "import time; from equipoise.cluster.run import own_run; own_run(); print('held', flush=True); time.sleep(60)"
    owner = subprocess.Popen([sys.executable, "-c", hold], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout.readline() == "held\n"
        command = [warm.SNAKEMAKE.start(), "-m", "equipoise", "run", "--cores", "1", "--snakefile", str(REPOSITORY / "Snakefile")]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert str(owner.pid) in done.stderr
    finally:
        owner.kill()
        owner.wait()
    try_again = "from equipoise.cluster.run import own_run; own_run()"
    assert subprocess.run([sys.executable, "-c", try_again], cwd=tmp_path, check=False).returncode == 0


def test_a_stale_lock_is_removed_and_the_run_goes_on(tmp_path):
    (tmp_path / "Snakefile").write_text("rule all:\n    output: 'done'\n    shell: 'touch done'\n")
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("done\n")
    command = [warm.SNAKEMAKE.start(), "-m", "equipoise", "run", "--cores", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "going on" in done.stderr
    assert (tmp_path / "done").exists()


def test_the_effective_configuration_is_written_beside_the_results(workflow):
    from equipoise.config_file import parse_config

    workflow.run(str(workflow.results / "tiny" / "tiny" / "pool" / "manifest.json"))
    written = yaml.safe_load((workflow.results / "tiny" / "config.yaml").read_text())
    assert parse_config(written) == parse_config(workflow.values)


def test_paths_may_hold_spaces(tiny_values, tmp_path):
    folder = tmp_path / "my projects"
    folder.mkdir()
    interpreter = folder / "python"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    interpreter.chmod(0o755)
    workflow = Workflow(folder, tiny_values | {"python": str(interpreter), "results": str(folder / "my results")})
    workflow.run(str(workflow.results / "tiny" / "tiny" / "pool" / "manifest.json"))
    assert (folder / "logs" / "prepare_pool" / "tiny" / "tiny" / "all.log").read_text()


def test_the_search_for_contaminated_rows_stands_where_its_result_is_used(workflow, tmp_path):
    folder = tmp_path / "definitions"
    folder.mkdir()
    workflow.values["suites"] = {"mine": {"include_path": str(folder)}}
    workflow.values["tasks"]["first"] |= {"suite": "mine", "lm_eval_tasks": ["mine"]}
    assert "decontaminate" not in workflow.planned()
    pool = str(workflow.results / "tiny" / "tiny" / "pool" / "pool.parquet")
    workflow.values["pool"]["decontaminate"] = "report"
    assert workflow.planned()["decontaminate"] == 1
    assert workflow.planned(pool) == {"prepare_pool": 1}
    workflow.values["pool"]["decontaminate"] = "remove"
    assert workflow.planned(pool) == {"decontaminate": 1, "prepare_pool": 1, "prepare_targets": 1}


@pytest.mark.parametrize("name", ["ekfac_unit", "trak"])
def test_an_estimator_that_fits_something_first_runs_to_its_matrix(workflow, name):
    workflow.values["gradients"] |= {"estimator": name, "epochs": "last"}
    workflow.run("matrix")
    assert workflow.planned("matrix") == {}
    root = workflow.results / "tiny" / "tiny"
    assert sorted(path.name for path in (root / "curvature").glob("*.json")) == ["epoch-2.json"]
    assert sorted(path.name for path in (root / "gradients" / "pool").iterdir()) == ["epoch-2"]
    (root / "curvature" / "epoch-2.json").unlink()
    planned = workflow.planned("matrix")
    assert planned["fit_curvature"] == 1
    assert not planned.keys() & {"warm_up", "prepare_pool"}
