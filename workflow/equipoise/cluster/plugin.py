"""Fixes for snakemake's executor plugins, called by the profiles as snakemake reads them.

Slurm, up to 2.8.0: a job ended by `scancel` counts as running for ever, since Slurm's accounting says `CANCELLED by <user id>` and the
plugin compares the whole text with `CANCELLED`. And a job that asks for no GPU (`model.device: cpu`) is submitted with `--gpus=<model>:0`
to the GPU partition when it has a `gpu_model`, which the profile gives to every rule that may use a GPU.

Kubernetes, up to 0.5.1: the plugin mounts persistent volumes in every pod and yet assumes that pods share no files, so that each declared
file would travel through a storage provider. Gradient stores and adapters are written in place and are not declared.
"""

import functools
import importlib
from contextlib import suppress


def fix_status_query() -> None:
    """Makes the plugin see the first word of a job's state only; does nothing without the plugin, or a second time."""
    with suppress(ImportError):
        plugin = importlib.import_module("snakemake_executor_plugin_slurm")
        query = plugin.query_job_status
        if not hasattr(query, "__wrapped__"):

            @functools.wraps(query)
            async def first_words(command, logger):
                states, seconds = await query(command, logger)
                return (states and {job: state.split(" ")[0] for job, state in states.items()}), seconds

            plugin.query_job_status = first_words


def fix_gpu_requests(gpu_partition: str, cpu_partition: str) -> None:
    """Makes the plugin submit jobs whose `gpu` is 0 without a GPU model, and to the CPU partition instead of the GPU partition (both as
    `slurm_partition` says them, empty for the cluster's default); does nothing without the plugin, or a second time."""

    def as_asked(job):
        if job.resources.get("gpu"):
            return job
        place = job.resources.get("slurm_partition", "")
        return _WithResources(job, gpu_model="", slurm_partition=cpu_partition if place == gpu_partition else place)

    with suppress(ImportError):
        plugin = importlib.import_module("snakemake_executor_plugin_slurm")
        if not hasattr(plugin.set_gres_string, "__wrapped__"):
            gres, partition = plugin.set_gres_string, plugin.Executor.get_partition_arg
            plugin.set_gres_string = functools.wraps(gres)(lambda job: gres(as_asked(job)))
            plugin.Executor.get_partition_arg = functools.wraps(partition)(lambda executor, job: partition(executor, as_asked(job)))


class _WithResources:
    """A job with some resources changed."""

    def __init__(self, job, **changed):
        self._job = job
        self.resources = type(job.resources)(fromdict=dict(job.resources.items()) | changed)

    def __getattr__(self, name):
        return getattr(self._job, name)


def share_volumes() -> None:
    """Makes the Kubernetes plugin believe `shared-fs-usage`; does nothing without the plugin."""
    with suppress(ImportError):
        importlib.import_module("snakemake_executor_plugin_kubernetes").common_settings.implies_no_shared_fs = False
