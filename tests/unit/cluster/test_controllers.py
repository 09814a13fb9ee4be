"""Which runs have a controller, and where none can be held."""

import pytest

from equipoise.cluster.controllers import hold_controller
from equipoise.cluster.run import own_run
from equipoise.errors import UserError


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / ".snakemake").write_text("")
    with pytest.raises(UserError, match=r"\.snakemake.*needs to write to its folder"):
        own_run(tmp_path)
    with pytest.raises(UserError, match="needs to write to its folder"):
        hold_controller(tmp_path)
