"""The Slurm plugin's view of a cancelled job, and what it asks for where no GPU is wanted."""

import asyncio
import logging
from types import SimpleNamespace

import pytest

from equipoise.cluster.plugin import mend_gpu_requests, mend_status_query


def test_a_cancelled_job_is_seen_as_cancelled_whoever_did_it():
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm")
    mend_status_query()
    mend_status_query()
    command = r"printf '13|CANCELLED by 0\n14|COMPLETED\n15|RUNNING\n'"
    states, seconds = asyncio.run(plugin.query_job_status(command, logging.getLogger()))
    assert states == {"13": "CANCELLED", "14": "COMPLETED", "15": "RUNNING"}
    assert seconds >= 0


def test_a_query_that_fails_stays_unknown():
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm")
    mend_status_query()
    assert asyncio.run(plugin.query_job_status("false", logging.getLogger())) == (None, None)


@pytest.fixture
def asked(monkeypatch):
    """What the plugin adds to `sbatch` for a job of these resources, on a site of the partitions `big` (GPUs) and `small`."""
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm")
    from snakemake.iocontainers import ResourceList

    monkeypatch.setattr(plugin, "set_gres_string", getattr(plugin.set_gres_string, "__wrapped__", plugin.set_gres_string))
    monkeypatch.setattr(plugin.Executor, "get_partition_arg", plugin.Executor.get_partition_arg)
    mend_gpu_requests("big", "small")
    executor = SimpleNamespace(_partitions=None, _fallback_partition="", logger=logging.getLogger())

    def asked(**resources) -> str:
        job = SimpleNamespace(resources=ResourceList(fromdict=resources))
        return plugin.Executor.get_partition_arg(executor, job) + plugin.set_gres_string(job)

    return asked


def test_a_job_without_a_gpu_asks_for_none_and_goes_to_the_cpu_partition(asked):
    assert asked(gpu=0, gpu_model="a100", slurm_partition="big") == " -p small"
    assert asked(gpu_model="a100", slurm_partition="big") == " -p small"
    assert asked(gpu=0, gpu_model="a100", slurm_partition="the-users-own") == " -p the-users-own"
    assert asked(slurm_partition="small") == " -p small"


def test_a_job_with_gpus_asks_as_before(asked):
    assert asked(gpu=2, gpu_model="a100", slurm_partition="big") == " -p big --gpus=a100:2"
    assert asked(gpu=1, slurm_partition="big") == " -p big --gpus=1"
