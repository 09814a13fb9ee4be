"""Further files and options of `equipoise select`: names of tasks, masks, budgets, seeds."""

import json

import numpy as np

from helpers.bad_inputs.case import Case, Make, folder_as, not_a_file, not_utf8, pipe_as, raw, text
from helpers.bad_inputs.matrices import NPY, A

MASKED, LISTED = f"{NPY} --valid valid.npy", f"{NPY} --valid valid.json"
DEEP = "[" * 100_000 + "]" * 100_000


def mask(values: object, **options: object) -> Make:
    """A .npy file of a mask."""
    return lambda folder: np.save(folder / "valid.npy", values, **options)


TASK_CASES = [
    *not_a_file("tasks.json", NPY),
    *not_utf8("tasks.json", NPY),
    Case("tasks: too few", text("tasks.json", '["gsm"]'), NPY, ("tasks: 1 names for 4 columns",)),
    Case("tasks: a name missing", text("tasks.json", '["a", "b", null, "d"]'), NPY, ("the name of column 2 is None",)),
    Case("tasks: an empty name", text("tasks.json", '["a", "b", "", "d"]'), NPY, ("the name of column 2 is ''",)),
    Case("tasks: half of a surrogate pair", text("tasks.json", '["a", "b", "\\ud83d", "d"]'), NPY, ("tasks.json", "surrogate")),
    Case("tasks: no list", text("tasks.json", '{"a": 1}'), NPY, ("tasks.json: not a list",)),
    Case("tasks: no JSON", text("tasks.json", "gsm, code"), NPY, ("tasks.json: not JSON",)),
    Case("tasks: empty", text("tasks.json", ""), NPY, ("tasks.json: not JSON",)),
    Case("tasks: nested deeply", text("tasks.json", DEEP), NPY, ("tasks.json: not JSON",)),
    Case("tasks: a very long number", text("tasks.json", f"[{'1' * 5000}]"), NPY, ("tasks.json: not JSON",)),
    Case("tasks: NaN", text("tasks.json", "[NaN]"), NPY, ("tasks.json: not JSON",)),
    Case("tasks: a manifest without columns", text("tasks.json", '{"kind": "matrix"}'), NPY, ("tasks.json",)),
    Case("tasks: a manifest of words", text("tasks.json", '{"kind": "matrix", "columns": "gsm"}'), NPY, ("tasks.json",)),
    Case("tasks: a manifest of numbers", text("tasks.json", '{"kind": "matrix", "columns": [3]}'), NPY, ("tasks.json",)),
]
MASK_CASES = [
    Case("mask: of numbers", text("valid.json", "[1, 0]"), LISTED, ("valid.json: holds int64; write one true or false",)),
    Case("mask: too short", text("valid.json", "[true, false]"), LISTED, ("write 40 booleans",)),
    Case("mask: nothing valid", text("valid.json", json.dumps([False] * 40)), LISTED, ("no row of m.npy may be chosen",)),
    Case("mask: ragged", text("valid.json", "[[true], [true, false]]"), LISTED, ("valid.json",)),
    Case("mask: nested deeply", text("valid.json", DEEP), LISTED, ("valid.json: not JSON",)),
    Case("mask: an object", text("valid.json", '{"a": true}'), LISTED, ("valid.json",)),
    Case("mask: one word", text("valid.json", "true"), LISTED, ("valid",)),
    Case("mask: words", text("valid.json", '["yes"]'), LISTED, ("valid.json: holds",)),
    Case("mask: very long numbers", text("valid.json", f"[{10**400}]"), LISTED, ("valid.json: holds",)),
    Case("mask: UTF-16", raw("valid.json", "[true]".encode("utf-16")), LISTED, ("valid.json", "UTF-8")),
    Case("mask: missing", None, LISTED, ("valid.json: no such file",)),
    Case("mask: npy of numbers", mask(np.ones(40)), MASKED, ("valid.npy: holds float64",)),
    Case("mask: npy of objects", mask(np.array([None]), allow_pickle=True), MASKED, ("valid.npy",)),
    Case("mask: npy of a matrix", mask(np.ones((40, 4), bool)), MASKED, ("write 40 booleans",)),
    Case("mask: npy that is text", text("valid.npy", "true"), MASKED, ("valid.npy: not a .npy array",)),
    Case("mask: npy that is a folder", folder_as("valid.npy"), MASKED, ("valid.npy",)),
    Case("mask: npy that is a pipe", pipe_as("valid.npy"), MASKED, ("valid.npy", "not a regular file")),
    Case("mask: leaves a row with NaN", lambda f: (mask(np.arange(40) > 9)(f), np.save(f / "m.npy", np.where(A > 2, np.nan, A))), MASKED,
         ("is nan",)),
]  # fmt: skip
OPTION_CASES = [
    Case("budget: 0", None, f"{NPY} --budget 0", ("budget 0 selects nothing",)),
    Case("budget: above N", None, f"{NPY} --budget 41", ("more than the 40 valid rows",)),
    Case("budget: above 1", None, f"{NPY} --budget 1.5", ("not a share",)),
    Case("budget: a word", None, f"{NPY} --budget much", ("'much' is not a number",)),
    Case("budget: nan", None, f"{NPY} --budget nan", ("budget nan",)),
    Case("budget: inf", None, f"{NPY} --budget inf", ("budget inf",)),
    Case("budget: 1e400", None, f"{NPY} --budget 1e400", ("budget inf",)),
    Case("budget: 5,000 digits", None, f"{NPY} --budget {'9' * 5000}", ("budget",)),
    Case("budget: too small", None, f"{NPY} --budget 1e-300", ("selects nothing",)),
    Case("budget: negative", None, f"{NPY} --budget=-3", ("budget -3 selects nothing",)),
    Case("selector: unknown", None, f"{NPY} --selector bidz", ("no selector 'bidz'; write one of random,",)),
    Case("selector: empty", None, f"{NPY} --selector=", ("no selector ''",)),
    Case("selector: reads the pool", None, f"{NPY} --selector oracle", ("selector oracle: reads metadata of a pool",)),
    Case("selector: reads states", None, f"{NPY} --selector kcenter", ("selector kcenter: reads",)),
    Case("normalisation: unknown", None, f"{NPY} --normalisation log", ("write one of zscore, rank",)),
    Case("seed: negative", None, f"{NPY} --selector random --seed -1", ("seed -1",)),
    Case("seed: absurd", None, f"{NPY} --selector random --seed {10**40}", ("seed 1000", "4294967295")),
]
CASES = [*TASK_CASES, *MASK_CASES, *OPTION_CASES]
