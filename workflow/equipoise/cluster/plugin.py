"""Mends for snakemake's executor plugins, called by the profiles as snakemake reads them.

Slurm, up to 2.8.0: without it a job ended by `scancel` counts as running for ever. Slurm's accounting says `CANCELLED by <user id>`, the
plugin compares the whole text with `CANCELLED`.

Kubernetes, up to 0.5.1: it mounts persistent volumes in every pod and assumes all the same that pods share no files, so that each
declared file would travel through a storage provider. Gradient stores and adapters are written in place and are no declared files.
"""

import functools
import importlib
from contextlib import suppress


def mend_status_query() -> None:
    """Makes the plugin see the first word of a job's state only; does nothing without the plugin, or a second time."""
    with suppress(ImportError):
        plugin = importlib.import_module("snakemake_executor_plugin_slurm")
        if not hasattr(plugin.query_job_status, "__wrapped__"):
            plugin.query_job_status = _first_words(plugin.query_job_status)


def _first_words(query):
    @functools.wraps(query)
    async def query_job_status(command, logger):
        states, seconds = await query(command, logger)
        return (states and {job: state.split(" ")[0] for job, state in states.items()}), seconds

    return query_job_status


def share_volumes() -> None:
    """Makes the Kubernetes plugin believe `shared-fs-usage`; does nothing without the plugin."""
    with suppress(ImportError):
        importlib.import_module("snakemake_executor_plugin_kubernetes").common_settings.implies_no_shared_fs = False
