"""What `sbatch` is asked for: the profile, a site file and the rules' resources, through the plugin's own builder."""

import logging
import shlex
from types import SimpleNamespace

import pytest
import yaml

from equipoise.cluster.devices import ON_GPU
from equipoise.errors import UserError
from helpers.places import REPOSITORY

PROFILE = REPOSITORY / "profiles" / "slurm" / "profile.yaml"
SITES = {
    "defaults": (
        {},
        "-t 1440 --mem 64000 --nodes=1 --cpus-per-task=16 --gpus=2",
        "-t 60 --mem 8000 --nodes=1 --ntasks=1 --cpus-per-task=1",
    ),
    "partitions": (
        {"gpu_partition": "gpu,gpu-long", "cpu_partition": "cpu", "gpu_model": "a100", "account": 123456},
        "-A 123456 -p gpu,gpu-long -t 1440 --mem 64000 --nodes=1 --cpus-per-task=16 --gpus=a100:2",
        "-A 123456 -p cpu -t 60 --mem 8000 --nodes=1 --ntasks=1 --cpus-per-task=1",
    ),
    "a model with hyphens": ({"gpu_model": "a100-sxm4-80gb"}, "... --gpus=a100-sxm4-80gb:2", "..."),
    "gres only": ({"gpu_request": "gres", "gpu_model": "v100"}, "... --cpus-per-task=16 --gres=gpu:v100:2", "... --cpus-per-task=1"),
    "gres only, any model": ({"gpu_request": "gres", "gpu_partition": "g"}, "-p g ... --gres=gpu:2", "... --cpus-per-task=1"),
    "gres written by hand": (
        {"gpu_partition": "g", "gpu_model": "x", "set-resources": {"warm_up": {"gpu": 0, "gres": "gpu:a100-pcie:2"}}},
        "-p g ... --gres=gpu:a100-pcie:2",
        "...",
    ),
    "other gres beside GPUs": ({"gpu_resources": {"gres": "lscratch:50"}}, "... --gres=lscratch:50 --gpus=2", "... --cpus-per-task=1"),
    "constraint and qos of GPU jobs": (
        {"gpu_resources": {"constraint": "a100|h100", "qos": "gpu-long"}},
        "-t 1440 -C 'a100|h100' --qos=gpu-long --mem 64000 --nodes=1 --cpus-per-task=16 --gpus=2",
        "-t 60 --mem 8000 --nodes=1 --ntasks=1 --cpus-per-task=1",
    ),
    "exclude, mail and reservation": (
        {"default-resources": {"slurm_extra": "--exclude=n1,n2 --mail-type=FAIL --mail-user=me@lab.org --reservation=course"}},
        "... --exclude=n1,n2 --mail-type=FAIL --mail-user=me@lab.org --reservation=course --gpus=2",
        "... --exclude=n1,n2 --mail-type=FAIL --mail-user=me@lab.org --reservation=course",
    ),
    "a limit": ({"max_runtime": "12h", "cores_per_gpu": 16}, "-t 720 ... --cpus-per-task=32 --gpus=2", "-t 60 ..."),
    "a limit for each partition": (
        {"gpu_partition": "g", "cpu_partition": "c", "max_runtime": {"g": "8:00:00", "c": 30}},
        "-p g -t 480 ...",
        "-p c -t 30 ...",
    ),
    "GPUs of several kinds": (
        {"gpu_model": "a40", "set-resources": {"warm_up": {"gpu_model": "h100-80gb", "slurm_partition": "big", "constraint": "ib&nvlink"}}},
        "-p big -t 1440 -C 'ib&nvlink' --mem 64000 --nodes=1 --cpus-per-task=16 --gpus=h100-80gb:2",
        "...",
    ),
    "no accounting database": ({"accounting": False, "account": "lab"}, "-A lab -t 1440 ... --gpus=2", "-A lab -t 60 ..."),
    "no cores asked for": ({"set-resources": {"warm_up": {"cpus_per_task": -1}}}, "... --nodes=1 --gpus=2", "..."),
}
"""Site file, and what is asked for a warm-up on two GPUs and for `seal_attribution`; `...` stands for anything."""


@pytest.fixture
def submit(monkeypatch, tmp_path):
    """Makes the builder of a site: (rule, its own resources) -> the options that say what is asked for. No Slurm answers."""
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm")
    for name in ("get_submit_command", "set_gres_string"):
        monkeypatch.setattr(plugin, name, getattr(plugin, name))
    for name in ("get_partition_arg", "get_account_arg"):
        monkeypatch.setattr(plugin.Executor, name, getattr(plugin.Executor, name))
    for name in ("EQUIPOISE_SITE", "EQUIPOISE_CORES_PER_GPU"):
        monkeypatch.setenv(name, "")  # restored at the end
    monkeypatch.setattr(plugin, "validate_account", lambda account, logger: account)

    def of(site: dict):
        from snakemake.iocontainers import ResourceList
        from snakemake.resources import Resource
        from yte import process_yaml

        (tmp_path / "site.yaml").write_text(yaml.safe_dump(site))
        monkeypatch.setenv("EQUIPOISE_SITE", str(tmp_path / "site.yaml"))
        monkeypatch.setenv("EQUIPOISE_CORES_PER_GPU", "")
        profile = process_yaml(PROFILE.read_text())
        executor = SimpleNamespace(_partitions=None, _fallback_partition="", _fallback_account_arg="", logger=logging.getLogger())

        def line(rule: str, attempt: int = 1, threads: int = 1, gpu: int | None = None, **own) -> str:
            import os

            asked = {} if gpu is None else {"gpu": gpu, "cpus_per_task": max(threads, gpu * int(os.environ["EQUIPOISE_CORES_PER_GPU"]))}
            written = profile["default-resources"] | asked | own | profile["set-resources"].get(rule, {})
            evaluated = {}
            for name, value in written.items():
                resource = Resource.from_cli_expression(name, str(value)) if isinstance(value, str) else Resource(name, value)
                evaluated[name] = (
                    resource.evaluate({}, input=[], attempt=attempt, rulename=rule, threads=threads, async_run=None).value
                    if resource.is_evaluable()
                    else value
                )
            job = SimpleNamespace(resources=ResourceList(fromdict=evaluated), threads=threads, is_group=lambda: False, name=rule)
            account, place = next(plugin.Executor.get_account_arg(executor, job)), plugin.Executor.get_partition_arg(executor, job)
            settings = SimpleNamespace(requeue=False, no_requeue=False, qos=None, reservation=None)
            names = {"run_uuid": "id", "slurm_logfile": "log", "comment_str": rule, "account": account, "partition": place, "workdir": ""}
            whole = plugin.get_submit_command(job, names, settings=settings) + plugin.set_gres_string(job)
            return " ".join(whole.split(f"--comment {rule}")[1].split())

        return profile, line

    return of


def fits(line: str, wanted: str) -> bool:
    """Whether a line is what is wanted, `...` standing for anything, word by word."""
    words, parts = shlex.split(line), [shlex.split(part) for part in wanted.split("...")]
    if len(parts) == 1:
        return words == parts[0]
    head, tail = parts[0], parts[-1]
    return words[: len(head)] == head and (not tail or words[-len(tail) :] == tail)


@pytest.mark.parametrize("name", SITES)
def test_a_site_gives_its_line(submit, name):
    site, training, sealing = SITES[name]
    _, line = submit(site)
    assert fits(line("warm_up", gpu=2), training), line("warm_up", gpu=2)
    assert fits(line("seal_attribution"), sealing), line("seal_attribution")


@pytest.mark.parametrize("name", SITES)
def test_a_cpu_experiment_asks_for_nothing_that_belongs_to_gpus(submit, name):
    site, _, _ = SITES[name]
    _, line = submit(site | {"gpu_partition": "g", "set-resources": {}})
    asked = line("warm_up", gpu=0, threads=2)
    assert not {"--gpus", "-C", "--qos", "--gres"} & {word.split("=")[0] for word in shlex.split(asked)}
    assert "-p g" not in asked
    assert "--ntasks=1 --cpus-per-task=2" in asked


def test_a_second_try_asks_for_more_memory_and_for_more_time_only_where_a_stage_starts_anew(submit):
    _, line = submit({"max_runtime": "24h"})
    assert fits(line("warm_up", attempt=3, gpu=2), "-t 1440 --mem 192000 ...")
    assert fits(line("collect_pool_gradients", attempt=2, gpu=1), "-t 60 --mem 64000 ...")
    assert [line("evaluate", attempt=attempt, gpu=1).split()[1] for attempt in (1, 2, 3)] == ["720", "1440", "1440"]


def test_a_group_that_adds_up_stays_within_the_limit_on_one_node(submit):
    """Four shards as snakemake adds them up: their runtimes, and the GPUs and cores of those that would run side by side."""
    _, line = submit({"max_runtime": "2h", "set-resources": {"collect_pool_gradients": {"runtime": 240}}})
    assert fits(line("collect_pool_gradients", gpu=1), "-t 120 ... --nodes=1 --cpus-per-task=8 --gpus=1")


def test_without_accounting_the_queue_is_asked_and_no_efficiency_is_reported(submit):
    profile, _ = submit({"accounting": False})
    assert (profile["slurm-status-command"], profile["slurm-efficiency-report"]) == ("squeue", False)
    profile, _ = submit({"accounting": True})
    assert profile["slurm-efficiency-report"] is True
    assert "slurm-status-command" not in profile


def test_expressions_of_attempt_stay_expressions(submit):
    _, line = submit({"set-resources": {"evaluate": {"qos": "'short' if attempt == 1 else 'long'", "gpu_model": "'a100'"}}})
    assert "--qos=short" in line("evaluate", gpu=1)
    assert "--qos=long" in line("evaluate", attempt=2, gpu=1)
    assert "--gpus=a100:1" in line("evaluate", gpu=1)


def test_a_model_that_is_no_name_is_refused(submit):
    _, line = submit({"gpu_model": "a100; rm -rf"})
    with pytest.raises(UserError, match="gpu_model: 'a100; rm -rf' is no name of Gres"):
        line("warm_up", gpu=1)


def test_the_commented_example_holds_every_site_it_shows(submit):
    """Every block of the example that is commented out is a site file by itself."""
    text = (REPOSITORY / "profiles" / "slurm" / "site.example.yaml").read_text()
    blocks = [part for part in text.split("# --- ")[1:]]
    assert len(blocks) >= 5
    for block in blocks:
        title, *lines = block.splitlines()
        site = yaml.safe_load("\n".join(line.removeprefix("#").removeprefix(" ") for line in lines if line.startswith("#")))
        assert isinstance(site, dict), title
        _, line = submit(site)
        assert "--nodes=1" in line("warm_up", gpu=2), title


def test_every_rule_of_the_paper_is_asked_for_as_written_here(submit):
    """Llama-3-8B on a cluster of A100s with a day's limit: every rule's line."""
    from equipoise.config_file import read_config
    from equipoise.jobs import stages

    config = read_config(REPOSITORY / "workflow" / "experiments" / "llama3-8b.yaml")
    _, line = submit({"account": "lab", "gpu_partition": "gpu", "cpu_partition": "cpu", "gpu_model": "a100", "max_runtime": "24h"})
    gpus = {rule: 1 for rule in ON_GPU} | {"warm_up": config.training.processes, "fine_tune": config.training.processes}
    lines = {stage.name: line(stage.name, gpu=gpus.get(stage.name)) for stage in stages(config) if stage.name != "fetch"}
    for rule, asked in lines.items():
        print(f"{rule:<24} {asked}")
    assert set(lines) >= {"warm_up", "collect_pool_gradients", "collect_target_gradients", "fine_tune", "evaluate", "rank", "report"}
    for rule, asked in lines.items():
        assert ("-p gpu " in asked) == (rule in ON_GPU) == ("--gpus=a100:" in asked), rule
        assert "--nodes=1 " in asked
        assert int(asked.split("-t ")[1].split()[0]) <= 1440
        cores = int(asked.split("--cpus-per-task=")[1].split()[0])
        assert cores == (8 * gpus[rule] if rule in ON_GPU else 1), rule
