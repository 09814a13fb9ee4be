"""The site file of the Slurm profile: found, merged key by key, mistakes named."""

import re

import pytest

from equipoise.cluster.site import read_site, split_site, with_site
from equipoise.errors import UserError
from helpers.places import REPOSITORY


def test_the_profile_places_every_gpu_stage_and_no_other():
    rules = "\n".join(file.read_text() for file in sorted((REPOSITORY / "workflow" / "rules").glob("*.smk")))
    bodies = re.split(r"^ *rule (\w+):$", rules, flags=re.M)[1:]
    on_gpu = {name for name, body in zip(bodies[::2], bodies[1::2], strict=True) if re.search(r"^ +gpu=", body, re.M)}
    placed = re.findall(r"^  (\w+): +\{.*gpu_model", (REPOSITORY / "profiles" / "slurm" / "profile.yaml").read_text(), re.M)
    assert on_gpu == set(placed)


def test_merging_goes_key_by_key():
    profile = {"jobs": 200, "set-resources": {"rank": {"mem_mb": 1, "runtime": 2}, "report": {"runtime": 3}}}
    merged = with_site(profile, split_site({"set-resources": {"rank": {"runtime": 9}}, "slurm-qos": "long", "accounting": True}))
    assert merged == {"set-resources": {"rank": {"mem_mb": 1, "runtime": 9}, "report": {"runtime": 3}}, "slurm-qos": "long"}


def test_a_misspelled_rule_is_named():
    with pytest.raises(UserError, match=r"no rule 'warmup'; did you mean warm_up\?"):
        with_site({}, split_site({"set-resources": {"warmup": {"runtime": 1}}}))


def test_the_example_is_valid_and_changes_nothing_but_names(monkeypatch):
    monkeypatch.setenv("EQUIPOISE_SITE", str(REPOSITORY / "profiles" / "slurm" / "site.example.yaml"))
    site = read_site()
    assert {"account", "gpu_partition", "cpu_partition", "gpu_model"} <= site.keys()
    profile = {"set-resources": {"collect_pool_gradients": {"mem_mb": 1}}, "group-components": {"shards": 4}}
    assert with_site(profile, split_site(site))["set-resources"]["collect_pool_gradients"].keys() >= {"mem_mb"}


def test_a_named_site_file_must_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("EQUIPOISE_SITE", str(tmp_path / "missing.yaml"))
    with pytest.raises(UserError, match="no such file"):
        read_site()


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        (720, 720),
        ("720", 720),
        ("36h", 2160),
        ("2d", 2880),
        ("1d12h", 2160),
        ("1-12", 2160),
        ("1-12:30:00", 2190),
        ("12:00:00", 720),
        ("90:30", 90),
    ],
)
def test_limits_are_read_as_slurm_and_snakemake_write_them(limit, minutes):
    assert split_site({"max_runtime": limit}).slurm.max_runtime == {"": minutes}
    assert split_site({"max_runtime": {"gpu": limit}}).slurm.max_runtime == {"gpu": minutes}


@pytest.mark.parametrize(
    ("site", "says"),
    [
        ({"max_runtime": "a day"}, "max_runtime: 'a day' is no time"),
        ({"max_runtime": {"gpu": True}}, "max_runtime.gpu: True is no time"),
        ({"cores_per_gpu": 0}, "cores_per_gpu: 0; write how many"),
        ({"gpu_request": "tres"}, "gpu_request: 'tres'; write gpus .* or gres"),
        ({"gpu_resources": "qos=gpu"}, "gpu_resources: 'qos=gpu'; write a mapping"),
    ],
)
def test_values_that_cannot_be_meant_are_named(site, says):
    with pytest.raises(UserError, match=says):
        split_site(site)
