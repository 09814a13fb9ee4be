"""Every command that README and docs show is run by a test, or the document says why none runs it."""

import re
import shlex
import shutil
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import typer
import yaml
from snakemake.cli import get_argument_parser

from equipoise.cli import app
from equipoise.process import QUIET, THREAD_VARIABLES
from helpers import warm
from helpers.commands import equipoise
from helpers.documentation import DOCUMENTS, Command, first, inline, mistake, shown
from helpers.experiment import tiny_values
from helpers.places import REPOSITORY
from helpers.rows import texts, write_jsonl

DRY = ("snakemake", "equipoise run")
"""Programs of which this test makes a dry run."""
OURS = ".venv/bin/python -m "
PLACES = {"<model>": "tiny", "<task>": "first"}
"""What a reader puts in."""


class Here(NamedTuple):
    """A command that is run here, in a folder of small files, after those that its document shows before it; made: what it leaves."""

    text: str
    made: str = ""


HERE = {
    "README.md": [
        Here("equipoise init pool.jsonl --task sums=sums.jsonl --base DIR", "my.yaml"),
        Here("equipoise check my.yaml"),
        Here("equipoise run --profile local --configfile my.yaml"),
        Here("equipoise select matrix.npy --tasks tasks.json --selector bids --budget 0.1 --output picks.jsonl", "picks.jsonl"),
        Here("equipoise export picks.jsonl --pool pool.jsonl --format huggingface --output my-selection", "my-selection"),
        Here("equipoise plan workflow/experiments/llama3-8b.yaml --gpu H100 --mfu 0.4"),
    ],
    "full-scale.md": [
        Here("equipoise plan workflow/experiments/llama3-8b.yaml --gpu H100 --mfu 0.4"),
    ],
    "own-data.md": [
        Here("equipoise init pool.jsonl --task sums=sums.jsonl --task lists=lists.jsonl --base path/to/base", "my.yaml"),
        Here("equipoise check my.yaml"),
        Here("equipoise run --configfile my.yaml --cores all selections"),
        Here("equipoise report --partial --config my.yaml", "results/my/report-partial/index.html"),
    ],
    "own-matrix.md": [
        Here("equipoise select matrix.npy --tasks tasks.json --selector bids --budget 0.1 --output picks.jsonl", "picks.jsonl"),
        Here("equipoise export picks.jsonl --pool pool.jsonl --format huggingface --output my-selection", "my-selection"),
    ],
    "estimators.md": [
        Here(
            "snakemake --configfile mine.yaml --cores 2 results/mine/<model>/pool/manifest.json "
            "results/mine/<model>/targets/<task>/manifest.json"
        ),
    ],
    "extending.md": [
        Here(f"{OURS}equipoise config schema > workflow/schemas/config.schema.json", "workflow/schemas/config.schema.json"),
        Here(f"{OURS}equipoise config comment config.yaml --write", "config.yaml"),
    ],
}  # fmt: skip
ELSEWHERE = {
    "snakemake --configfile examples/bring-your-own/config.yaml --cores 2": (
        "tests/integration/workflow/test_bring_your_own.py::test_a_users_pool_and_tasks_run_to_the_report"
    ),
    f"{OURS}equipoise.reporting.captions": (
        "tests/integration/reporting/test_catalogue.py::test_captions_of_snakemakes_report_are_in_step_with_the_catalogue"
    ),
}
"""Commands that another test runs, by its name."""
COMMANDS = [command for path in DOCUMENTS for command in shown(path)]


def is_test(command: Command) -> bool:
    """Whether a command runs tests of the project, which are run by themselves."""
    return command.text.startswith(f"{OURS}pytest ")


def test_every_command_is_run_or_marked_and_not_both():
    here = {(document, each.text) for document, listed in HERE.items() for each in listed}
    held = {}
    for command in COMMANDS:
        run = ((command.document, command.text) in here) + (command.text in ELSEWHERE) + is_test(command)
        held[f"{command.where}: {command.text}"] = run + (command.mark is not None)
    assert {command: number for command, number in held.items() if number != 1} == {}, "run it here, name its test, or mark it (MARKS)"


def test_what_is_run_is_what_is_shown():
    shown_here = {(command.document, command.text) for command in COMMANDS}
    assert [(document, each.text) for document, listed in HERE.items() for each in listed if (document, each.text) not in shown_here] == []
    assert ELSEWHERE.keys() <= {command.text for command in COMMANDS}


def test_the_tests_that_are_named_are_there():
    for command in COMMANDS:
        paths = [word for word in command.words if word.startswith("tests/")] if is_test(command) else []
        assert all((REPOSITORY / path).is_file() for path in paths), command.where
    for name in ELSEWHERE.values():
        path, _, function = name.partition("::")
        assert f"\ndef {function}(" in (REPOSITORY / path).read_text(encoding="utf-8"), name


@pytest.fixture
def folder(tmp_path, tiny_base, monkeypatch) -> Path:
    """Files of the names that the documents use: a pool, examples of two tasks, a base, a matrix with its tasks, an experiment."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TOKENIZERS_PARALLELISM", *THREAD_VARIABLES, *QUIET):
        monkeypatch.setenv(name, "1")  # commands set them; put back afterwards
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workflow").mkdir()
    for path in (REPOSITORY / "Snakefile", *(REPOSITORY / "workflow").iterdir()):
        if path.name != "schemas":
            (tmp_path / path.relative_to(REPOSITORY)).symlink_to(path)
    shutil.copytree(REPOSITORY / "workflow" / "schemas", tmp_path / "workflow" / "schemas")  # what commands write to is no link
    shutil.copy(REPOSITORY / "config.yaml", tmp_path / "config.yaml")
    values = tiny_values(tmp_path, tiny_base) | {"experiment": "mine", "results": "results"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    write_jsonl(tmp_path / "pool.jsonl", texts(60))
    write_jsonl(tmp_path / "sums.jsonl", texts(12, 3))
    write_jsonl(tmp_path / "lists.jsonl", texts(12, 5))
    for name in ("DIR", "path/to/base"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(tiny_base)
    np.save(tmp_path / "matrix.npy", np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32))
    (tmp_path / "tasks.json").write_text('["gsm", "gsm", "code"]', encoding="utf-8")
    return tmp_path


def run(text: str, folder: Path) -> None:
    """Runs a command as it stands, but for what a reader puts in; of one that starts jobs a dry run."""
    for place, meant in PLACES.items():
        text = text.replace(place, meant)
    command, _, file = text.removeprefix(OURS).partition(" > ")
    words = shlex.split(command)
    if command.startswith(DRY):
        python = [warm.SNAKEMAKE.start(), "-m", *words, "-n"]
        done = subprocess.run(python, cwd=folder, capture_output=True, text=True, check=False)
    else:
        done = equipoise(*words[1:])
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    if file:
        (folder / file).write_text(done.stdout, encoding="utf-8")


@pytest.mark.parametrize("document", HERE)
def test_commands_on_small_files(document, folder):
    for each in HERE[document]:
        run(each.text, folder)
        made, committed = folder / each.made, REPOSITORY / each.made
        assert made.exists(), each.text
        assert not committed.is_file() or made.read_text(encoding="utf-8") == committed.read_text(encoding="utf-8"), each.text


# the command lines themselves
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
EXTRAS = set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])


ROOT = typer.main.get_command(app)


def named(command: str) -> str | None:
    """What is wrong with a command that the text only names."""
    return None if ROOT.get_command(None, command) else f"no command {command}"


def refused(text: str) -> str | None:
    """What is wrong with a command line: a program's command, option, target, extra, module or file that does not exist."""
    program, words = first(text), shlex.split(re.split(r" [|>]", text)[0])[1:]
    if program == "equipoise" and words[0] == "run":
        program, words = "snakemake", words[1:]
    if program == "equipoise":
        return mistake(ROOT, words) if words[1:] or words[0].startswith("-") else named(words[0])
    if program == "make":
        unknown = {word for word in words if "=" not in word} - TARGETS
        return f"no target {unknown}" if unknown else None
    if program == "pip":
        unknown = {extra for found in re.findall(r"\[([\w,]+)\]", text) for extra in found.split(",")} - EXTRAS
        return f"no extra {unknown}" if unknown else None
    if program == "snakemake":
        return taken_by_snakemake(words)
    if program in ("python", ".venv/bin/python"):
        if words[0] == "-m" and words[1] == "equipoise":
            return mistake(ROOT, words[2:])
        found = find_spec(words[1]) if words[0] == "-m" else (REPOSITORY / words[0]).is_file()
        return None if found else f"no {words}"
    return None if program in ("sudo", "export", "cat", "cp") else f"unknown program {program}"


def taken_by_snakemake(words: list[str]) -> str | None:
    """What snakemake says of its options."""
    try:
        get_argument_parser().parse_args(words)
    except SystemExit:
        return f"snakemake {shlex.join(words)}"
    return None


def test_every_command_line_is_one_that_its_program_takes():
    lines = {command.where: command.text for command in COMMANDS}
    lines |= {f"{path.name}: {text}": text for path in DOCUMENTS for text in inline(path)}
    wrong = {where: refused(text) for where, text in lines.items()}
    assert len(lines) > 60
    assert {where: said for where, said in wrong.items() if said} == {}


@pytest.mark.parametrize(
    "text",
    ["equipoise plant x", "equipoise run --nonsense", "snakemake --nonsense", "make demos", "pip install 'equipoise[all]'", "python no.py"],
)
def test_what_is_none_is_seen(text):
    assert refused(text)


def test_blocks_are_read_with_their_comments(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ make demo     # needs a cluster\n```\n\n    pip install 'x' > y\n\n```yaml\nmake: 1\n```\n")
    assert [(each.where, each.text, each.mark) for each in shown(page)] == [
        ("page.md:2", "make demo", "needs a cluster"),
        ("page.md:5", "pip install 'x' > y", None),
    ]
    page.write_text("```bash\nnonsense\n```\n")
    with pytest.raises(ValueError, match="nonsense"):
        shown(page)
