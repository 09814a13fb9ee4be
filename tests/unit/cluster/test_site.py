"""The site file of the Slurm profile: found, merged key by key, mistakes named."""

import re

import pytest

from equipoise.cluster.site import read_site, with_site
from equipoise.errors import UserError
from helpers.places import REPOSITORY


def test_the_profile_places_every_gpu_stage_and_no_other():
    rules = "\n".join(file.read_text() for file in sorted((REPOSITORY / "workflow" / "rules").glob("*.smk")))
    bodies = re.split(r"^ *rule (\w+):$", rules, flags=re.M)[1:]
    on_gpu = {name for name, body in zip(bodies[::2], bodies[1::2], strict=True) if "gpu=gpus(" in body}
    placed = re.findall(r"^  (\w+): +\{.*gpu_model", (REPOSITORY / "profiles" / "slurm" / "profile.yaml").read_text(), re.M)
    assert on_gpu == set(placed)


def test_merging_goes_key_by_key():
    profile = {"jobs": 200, "set-resources": {"rank": {"mem_mb": 1, "runtime": 2}, "report": {"runtime": 3}}}
    merged = with_site(profile, {"set-resources": {"rank": {"runtime": 9}}, "slurm-qos": "long"})
    assert merged == {"set-resources": {"rank": {"mem_mb": 1, "runtime": 9}, "report": {"runtime": 3}}, "slurm-qos": "long"}


def test_a_misspelled_rule_is_named():
    with pytest.raises(UserError, match=r"no rule 'warmup'; did you mean warm_up\?"):
        with_site({}, {"set-resources": {"warmup": {"runtime": 1}}})


def test_the_example_is_valid_and_changes_nothing_but_names(monkeypatch):
    monkeypatch.setenv("EQUIPOISE_SITE", str(REPOSITORY / "profiles" / "slurm" / "site.example.yaml"))
    site = read_site()
    assert {"account", "gpu_partition", "cpu_partition", "gpu_model"} <= site.keys()
    profile = {"set-resources": {"collect_pool_gradients": {"mem_mb": 1}}, "group-components": {"shards": 4}}
    assert with_site(profile, site)["set-resources"]["collect_pool_gradients"].keys() >= {"mem_mb"}


def test_a_named_site_file_must_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("EQUIPOISE_SITE", str(tmp_path / "missing.yaml"))
    with pytest.raises(UserError, match="no such file"):
        read_site()
