"""A reader that closes its pipe has what it wanted."""

import os
import subprocess
import sys

import pytest

from helpers.places import REPOSITORY


@pytest.mark.parametrize("words", ["config schema", "plan config.yaml --json", "--help"])
def test_a_reader_that_closes_its_pipe_is_no_error(words):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "equipoise", *words.split()]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=REPOSITORY, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
