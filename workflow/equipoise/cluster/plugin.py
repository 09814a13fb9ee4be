"""Fixes for snakemake's executor plugins, called by the profiles as snakemake reads them.

Slurm, up to 2.8.0: a job ended by `scancel` counts as running for ever, since Slurm's accounting says `CANCELLED by <user id>` and the
plugin compares the whole text with `CANCELLED`. What a job asks Slurm for is put right in cluster/submission.py.

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


def share_volumes() -> None:
    """Makes the Kubernetes plugin believe `shared-fs-usage`; does nothing without the plugin."""
    with suppress(ImportError):
        importlib.import_module("snakemake_executor_plugin_kubernetes").common_settings.implies_no_shared_fs = False
