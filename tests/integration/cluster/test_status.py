"""`equipoise status` after processes that died and runs of snakemake that failed."""

import subprocess
import sys
from pathlib import Path

from equipoise.cluster.failures import failures
from equipoise.cluster.status import status_of
from helpers import warm
from helpers.status import begun, stage

FLAKY = """
rule all:
    input: "good", "bad", "flaky", "packed"
rule good:
    output: "good"
    log: "logs/good.log"
    shell: "echo fine > {log}; touch {output}"
rule bad:
    output: "bad"
    log: "logs/bad.log"
    shell: "echo first > {log}; echo 'error: the disk is full' >> {log}; exit 1"
rule flaky:
    output: "flaky"
    log: "logs/flaky.log"
    shell: "echo tried > {log}; echo tried >> tries; test $(wc -l < tries) = 2 && touch {output}"
rule packed:
    output: "packed"
    log: "logs/packed.log"
    group: "pack"
    shell: "echo 'error: in a group' > {log}; exit 1"
"""


def test_a_dead_writer_does_not_count_as_running(tiny_values, tmp_path):
    layout = begun(tiny_values).layout
    manifest = layout.pool_gradients_manifest(1, "00000")
    write = f"import os; from equipoise.store.lease import one_writer\nwith one_writer({manifest!r}): os._exit(9)"
    assert subprocess.run([sys.executable, "-c", write], check=False).returncode == 9
    assert list((Path(manifest).parent / ".leases").iterdir())
    assert stage(status_of(Path(layout.config), tmp_path), "collect_pool_gradients").running == 0


def test_failed_jobs_are_named_with_their_last_words_and_those_that_succeeded_later_are_not(tmp_path):
    (tmp_path / "Snakefile").write_text(FLAKY)
    command = [warm.SNAKEMAKE.start(), "-m", "snakemake", "--cores", "1", "--retries", "1", "--keep-going", "--show-failed-logs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    found = {failure.rule: failure for failure in failures(tmp_path)}
    assert found.keys() == {"bad", "packed"}
    assert found["bad"].log == "logs/bad.log"


def test_listing_rules_after_a_failure_does_not_hide_it(tmp_path):
    (tmp_path / "Snakefile").write_text('rule bad:\n    output: "bad"\n    log: "bad.log"\n    shell: "echo no > {log}; exit 1"\n')
    command = [warm.SNAKEMAKE.start(), "-m", "snakemake", "--cores", "1"]
    for options in ([], ["-l"], ["--summary"], ["--unlock"], ["--rulegraph"]):
        subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, check=False)
    assert len(list((tmp_path / ".snakemake" / "log").glob("*.log"))) > 1
    assert [failure.rule for failure in failures(tmp_path)] == ["bad"]
