"""The Slurm plugin's view of a cancelled job."""

import asyncio
import logging

import pytest

from equipoise.cluster.plugin import fix_status_query


def test_a_cancelled_job_is_seen_as_cancelled_whoever_did_it():
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm")
    fix_status_query()
    fix_status_query()
    command = r"printf '13|CANCELLED by 0\n14|COMPLETED\n15|RUNNING\n'"
    states, seconds = asyncio.run(plugin.query_job_status(command, logging.getLogger()))
    assert states == {"13": "CANCELLED", "14": "COMPLETED", "15": "RUNNING"}
    assert seconds >= 0


def test_a_query_that_fails_stays_unknown():
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm")
    fix_status_query()
    assert asyncio.run(plugin.query_job_status("false", logging.getLogger())) == (None, None)
