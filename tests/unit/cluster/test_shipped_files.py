"""`equipoise run` finds the program's own Snakefile, profiles and experiments from any folder, and says what it finds nowhere."""

import pytest

from equipoise.cluster.run import with_shipped_files
from equipoise.errors import UserError
from equipoise.shipped import ROOT, SNAKEFILE, base_path

OWN = ["--snakefile", str(SNAKEFILE)]
LLAMA = "workflow/experiments/llama3-8b.yaml"


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["-n"], ["-n", *OWN]),
        (["--profile", "slurm"], ["--profile", str(ROOT / "profiles/slurm"), *OWN]),
        (["--profile=profiles/local"], [f"--profile={ROOT / 'profiles/local'}", *OWN]),
        (["--profile", "local", "docs"], ["--profile", str(ROOT / "profiles/local"), "docs", *OWN]),  # a target, though a folder there
        (["--profile", "mine"], ["--profile", "mine", *OWN]),  # snakemake looks further, and says where
        (["--configfile", LLAMA, "-n"], ["--configfile", str(ROOT / LLAMA), "-n", *OWN]),
        ([f"--configfile={LLAMA}", "selections"], [f"--configfile={ROOT / LLAMA}", "selections", *OWN]),
        (["-s", "other/Snakefile"], ["-s", "other/Snakefile"]),
        (["--snakefile=other"], ["--snakefile=other"]),
    ],
)
def test_what_is_not_here_is_the_programs_own(given, expected):
    assert with_shipped_files(given) == expected


def test_what_is_here_comes_first(empty):
    for name in ("Snakefile", LLAMA, "profiles/local/profile.yaml"):
        (empty / name).parent.mkdir(parents=True, exist_ok=True)
        (empty / name).touch()
    given = ["--profile", "profiles/local", "--configfile", LLAMA]
    assert with_shipped_files(given) == given


@pytest.mark.parametrize("given", [["--configfile", "none.yaml"], ["--configfile=none.yaml"], ["--configfile", LLAMA, "selections"]])
def test_a_configuration_that_is_nowhere_is_one_line(given):
    with pytest.raises(UserError, match=r"^--configfile (none.yaml|selections): no such file; write the path of an experiment's YAML"):
        with_shipped_files(given)


def test_the_embedded_base_goes_by_its_name_and_a_folder_of_that_name_by_a_path(empty):
    assert (base_path("miniature") / "model.safetensors").is_file()
    (empty / "miniature").mkdir()
    assert base_path("./miniature").resolve() == empty / "miniature"
