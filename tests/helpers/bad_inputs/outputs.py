"""Places that cannot be written to."""

from pathlib import Path

from helpers.bad_inputs.case import Case, Make, both, closed, folder_as, loop_as, text

SELECT = "select m.npy --selector random --tasks tasks.json --output"
EXPORT = "export picks.jsonl --pool pool.jsonl --output"
PLACES: list[tuple[str, Make | None, str, tuple[str, ...]]] = [
    ("a folder", folder_as("out"), "out", ("out", "Is a directory")),
    ("below a file", text("out", "mine"), "out/o", ("out",)),
    ("a loop of links", loop_as("out"), "out", ("out", "symbolic links")),
    ("in /proc", None, "/proc/o", ("/proc/o: Permission denied",)),
    ("below /proc", None, "/proc/nowhere/o", ("/proc/nowhere",)),
    ("a very long name", None, "x" * 300, ("File name too long",)),
    ("a full device", None, "/dev/full", ("/dev/full: no space left",)),
    ("no name", None, "''", ("Is a directory",)),
]


def read_only(folder: Path) -> None:
    """A folder in which nothing may be made."""
    (folder / "closed").mkdir(mode=0o555)


CASES = [
    *(Case(f"select --output: {name}", make, f"{SELECT} {place}", says) for name, make, place, says in PLACES),
    *(Case(f"export --output: {name}", make, f"{EXPORT} {place}", says) for name, make, place, says in PLACES),
    *(
        Case(f"{command.split()[0]} --output: read-only", read_only, f"{command} closed/o", ("closed", "Permission denied"), True)
        for command in (SELECT, EXPORT)
    ),
    *(
        Case(f"{form} --output: no room", None, f"{EXPORT} out --format {form}", ("out", "File too large"), largest=20)
        for form in ("jsonl", "parquet", "huggingface")
    ),
    Case("select --output: no room", None, f"{SELECT} out", ("out", "File too large"), largest=20),
    Case("export: an unknown form", None, f"{EXPORT} out --format csv", ("write one of jsonl, parquet, huggingface",)),
    Case("export: huggingface onto a file", text("out", "mine"), f"{EXPORT} out --format huggingface", ("out: exists already",)),
    Case("export: huggingface into a folder", both(folder_as("out"), text("out/x", "")), f"{EXPORT} out --format huggingface",
         ("out: exists already",)),
    Case("config comment --write: read-only", both(lambda f: f.chmod(0o555), closed("my.yaml", 0o444)), "config comment my.yaml --write",
         ("my.yaml", "Permission denied"), True),
]  # fmt: skip
