"""How a stage's process is set up before torch is imported."""

import logging
import os
import warnings

import pytest

from equipoise.config_file import parse_config
from equipoise.planning.plan import plan
from equipoise.process import DETERMINISTIC, QUIET, THREAD_VARIABLES, prepare_process, silence_libraries
from helpers.experiment import changed

ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


@pytest.fixture
def clean(monkeypatch):
    """None of the variables that are set, all restored at the end."""
    for name in (*ALLOCATOR, *THREAD_VARIABLES, DETERMINISTIC, "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    return monkeypatch


def test_torchs_allocator_grows_its_segments_unless_the_user_has_said_how(clean, tiny_config):
    prepare_process(tiny_config, "warm_up")
    assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    for name in ALLOCATOR:
        for other in ALLOCATOR:
            clean.delenv(other, raising=False)
        clean.setenv(name, "max_split_size_mb:64")
        prepare_process(tiny_config, "warm_up")
        assert {key: os.environ.get(key) for key in ALLOCATOR if key in os.environ} == {name: "max_split_size_mb:64"}


def test_deterministic_algorithms_are_asked_for_by_configuration_alone_and_their_cost_is_told(clean, tiny_values):
    for asked in (False, True):
        config = parse_config(changed(tiny_values, {"model": {"deterministic": asked}}))
        prepare_process(config, "warm_up")
        assert (os.environ.get(DETERMINISTIC), os.environ.get("CUBLAS_WORKSPACE_CONFIG")) == (("1", ":4096:8") if asked else (None, None))
        assert any("model.deterministic takes" in line for line in plan(config).assumptions) == asked


def test_what_libraries_warn_of_does_not_reach_the_log_and_what_we_warn_of_does(monkeypatch):
    log = logging.getLogger("bitsandbytes")
    monkeypatch.setattr(log, "level", log.level)
    for name in QUIET:
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "debug")
    with warnings.catch_warnings(record=True) as said:
        silence_libraries()
        for module in ("transformers.utils", "torch", "equipoise.training.trainer"):
            warnings.warn_explicit(f"{module} warns", FutureWarning, "some.py", 1, module=module)
    assert [str(each.message) for each in said] == ["equipoise.training.trainer warns"]
    assert (log.isEnabledFor(logging.WARNING), log.isEnabledFor(logging.ERROR)) == (False, True)
    assert {name: os.environ[name] for name in QUIET} == QUIET | {"TRANSFORMERS_VERBOSITY": "debug"}, "a user who asks hears it"
