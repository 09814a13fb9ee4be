"""A run in a terminal that is stopped by Ctrl-C, and typed again."""

import os
import pty
import re
import select
import sys

import pytest
import yaml

from helpers import warm
from helpers.places import REPOSITORY


def in_a_terminal(command: list[str], folder, stop_at: str) -> tuple[str, int]:
    """What a command says in a terminal, escapes left out, and its status. Ctrl-C is typed once it has said `stop_at`."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execve(sys.executable, command, os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow"), "TERM": "xterm"})
    said, typed = "", False
    while select.select([terminal], [], [], 300)[0]:
        try:
            read = os.read(terminal, 65536)
        except OSError:  # its end
            break
        said += read.decode(errors="replace")
        if stop_at and stop_at in said and not typed:
            os.write(terminal, b"\x03")
            typed = True
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said).replace("\r", ""), os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.nightly  # two starts of snakemake
def test_ctrl_c_ends_with_what_is_kept_and_the_same_command_goes_on(tiny_values, tmp_path):
    tiny_values |= {"python": warm.STAGES.start(), "results": "results", "selectors": ["bids"]}
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(tiny_values), encoding="utf-8")
    command = [sys.executable, "-m", "equipoise", "run", "selections", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1"]
    command += ["--configfile", "experiment.yaml"]
    said, status = in_a_terminal(command, tmp_path, "prepare_pool: for")
    assert status == 1
    stopped, again = said.splitlines()[-2:]
    assert re.fullmatch(r"stopped; \d of \d\d parts are done and kept, and what was begun goes on from .*", stopped)
    assert again == "to go on:  type the same command again"
    assert "Error" not in said
    assert "Traceback" not in said
    said, status = in_a_terminal(command, tmp_path, "")
    assert status == 0
    assert re.search(r"2 selections, such as (\S+)\nnext:  equipoise export \1 --output selection.jsonl\n$", said)
