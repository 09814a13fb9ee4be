"""Configurations."""

import os
from pathlib import Path

import yaml

from helpers.bad_inputs.case import Case, Make, both, not_a_file, not_utf8, raw, text

SHOW = "config show my.yaml"
PLAN = "plan my.yaml"


def changed(path: str, value: object) -> Make:
    """The sound configuration with one key replaced."""

    def make(folder: Path) -> None:
        file = folder / "my.yaml"
        values = yaml.safe_load(file.read_text())
        *parents, last = path.split(".")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
        file.write_text(yaml.safe_dump(values))

    return make


def more(line: str) -> Make:
    """The sound configuration with a line more."""

    def make(folder: Path) -> None:
        with open(folder / "my.yaml", "a") as file:
            file.write(line + "\n")

    return make


def refused(path: str, value: object, *says: str) -> Case:
    """A key that may not hold a value."""
    shown = str(value)
    return Case(
        f"config: {path} {shown if len(shown) < 40 else shown[:40] + '...'}", changed(path, value), SHOW, (path.split(".")[0], *says)
    )


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)) + "experiment: *a11\n"
FILES = [
    *not_a_file("my.yaml", SHOW),
    *not_utf8("my.yaml", SHOW),
    Case("config: a very long name", None, f"config show {'x' * 300}.yaml", ("File name too long",)),
    Case("config: empty", text("my.yaml", ""), SHOW, ("my.yaml: holds no keys",)),
    Case("config: a list", text("my.yaml", "- a\n"), SHOW, ("my.yaml: holds no keys",)),
    Case("config: a word", text("my.yaml", "hello"), SHOW, ("my.yaml: holds no keys",)),
    Case("config: two documents", text("my.yaml", "a: 1\n---\nb: 2\n"), SHOW, ("my.yaml: not YAML",)),
    Case("config: an open bracket", more("pool: {"), SHOW, ("my.yaml: not YAML",)),
    Case("config: nested deeply", raw("my.yaml", b"[" * 20_000), SHOW, ("my.yaml: not YAML",)),
    Case("config: a key twice", more("seed: 1\nseed: 2"), SHOW, ("my.yaml: not YAML", "seed stands twice")),
    Case("config: a key twice below", text("my.yaml", "pool: {files: [a], files: [b]}\n"), SHOW, ("files stands twice",)),
    Case("config: a key that is a list", text("my.yaml", "[a]: 1\n"), SHOW, ("my.yaml: not YAML",)),
    Case("config: a key that is a number", text("my.yaml", "3: 1\n"), SHOW, ("my.yaml", "3: keys should be strings")),
    Case("config: a key that is null", text("my.yaml", "~: 1\n"), SHOW, ("my.yaml", "None: keys should be strings")),
    Case("config: an object of Python", more("seed: !!python/object/apply:os.getpid []"), SHOW, ("my.yaml: not YAML",)),
    Case("config: no such day", more("seed: 2026-99-99"), SHOW, ("my.yaml: not YAML",)),
    Case("config: a very long number", more(f"seed: {'9' * 5000}"), SHOW, ("my.yaml: not YAML",)),
    Case("config: holds itself", more("seed: &a [*a]"), SHOW, ("my.yaml", "seed")),
    Case("config: a billion laughs", text("my.yaml", LAUGHS), SHOW, ("my.yaml", "experiment")),
]
KEYS = [
    refused("modle", {}, "did you mean model?"),
    refused("experiment", "a/b"),
    refused("experiment", "x" * 300, "at most"),
    refused("results", "", "results"),
    refused("results", "a\0b", "results"),
    refused("results", "\ud83d", "results"),
    refused("seed", -1),
    refused("seed", 10**40, "4294967295"),
    refused("seed", float("inf")),
    refused("seed", "many"),
    refused("budgets", []),
    refused("budgets", [0]),
    refused("budgets", [1.5], "share in (0, 1]"),
    refused("budgets", [0.1, "0.10"], "0.1 is listed 2 times"),
    refused("budgets", [float("inf")]),
    refused("budgets", [float("nan")]),
    refused("budgets", [1e-300], "selects nothing"),
    refused("budgets", [True]),
    refused("budgets", [10**30], "budgets"),
    refused("selectors", ["bids", "bids"], "'bids' is listed 2 times"),
    refused("selectors", ["bidz"], "no selector 'bidz'"),
    refused("finetune.seeds", [0, 0], "0 is listed 2 times"),
    refused("finetune.seeds", [2**32], "4294967295"),
    refused("finetune.seeds", [-1]),
    refused("selection.seeds", [0, 0], "0 is listed 2 times"),
    refused("selection.seeds", [10**40], "4294967295"),
    refused("training.learning_rate", float("inf"), "finite"),
    refused("training.learning_rate", float("nan"), "finite"),
    refused("training.learning_rate", -1.0),
    refused("training.weight_decay", float("inf"), "finite"),
    refused("training.max_grad_norm", float("inf"), "finite"),
    refused("training.warmup_ratio", 1.5),
    refused("training.batch_size", 10**30),
    refused("lora.rank", 10**9, "lora.rank"),
    refused("lora.alpha", 10**400),
    refused("lora.dropout", float("nan")),
    refused("model.max_length", 10**30),
    refused("model.device", "tpu"),
    refused("model.base", ""),
    refused("model.base", "a\0b"),
    refused("gradients.token_budget", 10**30),
    refused("gradients.projection.dimension", 10**30),
    refused("pool.limit", 0),
    refused("pool.limit", 10**30),
    refused("pool.shards", 10**12),
    refused("pool.files", ["pool.jsonl", "pool.jsonl"], "listed 2 times"),
    refused("pool.files", [""], "pool.files"),
    refused("pool.files", []),
    refused("pool.format", "alpca", "write alpaca"),
    refused("tasks", {}),
    refused("tasks.first.files", []),
    refused("tasks", {"a/b": {"capability": "x", "files": ["first.jsonl"]}}),
    refused("targets.size", 0),
    refused("targets.size", 10**30),
    refused("jobs.threads", {"warmup": 2}, "'warm_up'"),
    refused("python", ""),
]
RUNS = [
    Case("plan: --mfu nan", None, f"{PLAN} --mfu nan", ("--mfu nan",)),
    Case("plan: --mfu inf", None, f"{PLAN} --mfu inf", ("--mfu inf",)),
    Case("plan: --mean-tokens nan", None, f"{PLAN} --mean-tokens nan", ("--mean-tokens nan",)),
    Case("plan: --mean-tokens inf", None, f"{PLAN} --mean-tokens inf", ("--mean-tokens inf",)),
    Case("plan: --mean-tokens -3", None, f"{PLAN} --mean-tokens=-3", ("--mean-tokens -3",)),
    Case("plan: --rows 10^30", None, f"{PLAN} --rows {10**30}", ("--rows",)),
    Case("plan: --gpu TPU", None, f"{PLAN} --gpu TPU", ("TPU",)),
    Case("plan: a base of other numbers", both(changed("model.base", "other"), raw("other/config.json", b'{"hidden_size": "x"}')), PLAN,
         ("other",)),
    Case("results: a file", both(text("results", ""), changed("results", "results")), "prepare_pool --config my.yaml", ("results",)),
    Case("results: below /proc", changed("results", "/proc/results"), "prepare_pool --config my.yaml", ("/proc/results",)),
    Case("results: a loop of links", lambda f: os.symlink("results", f / "results"), "prepare_pool --config my.yaml", ("results",)),
    Case("results: read-only", lambda f: os.mkdir("results", 0o555), "prepare_pool --config my.yaml", ("results", "Permission denied"),
         confined=True),
    Case("results: no room", None, "prepare_pool --config my.yaml", ("results", "File too large"), largest=100),
    Case("status: nothing there", None, "status nowhere", ("nowhere: holds no experiment",)),
    Case("status: a broken configuration", raw("results/tiny/config.yaml", b"\xff\xfe"), "status", ("results/tiny/config.yaml",)),
    Case("compare: nothing there", None, "compare one two", ("no experiment 'one' in results",)),
    Case("compare: a folder without results", None, "compare my.yaml my.yaml", ("no common measure to compare",)),
    Case("verify: nothing there", None, "verify nowhere", ("nowhere: no such file or folder",)),
    Case("verify: nothing of ours", None, "verify base", ("base: nothing to verify here",)),
    Case("verify: a loop of links", lambda f: os.symlink("loop", f / "loop"), "verify loop", ("loop",)),
]  # fmt: skip
CASES = [*FILES, *KEYS, *RUNS]
