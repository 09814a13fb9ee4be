"""Files that belong to the workflow and not to the package: Snakefile, rules, profiles, experiments, templates of the report.

In a checkout, and after `pip install -e .`, they are the repository's; a wheel carries the same files in `equipoise/program` (see the
build's section of pyproject.toml).
"""

from pathlib import Path

_CARRIED = Path(__file__).parent / "program"
ROOT = _CARRIED if _CARRIED.is_dir() else Path(__file__).resolve().parents[2]
"""The folder with Snakefile, config.yaml, workflow, profiles, envs."""
WORKFLOW = ROOT / "workflow"
SNAKEFILE = ROOT / "Snakefile"
MINIATURE = "miniature"
"""The `model.base` that names the embedded experiment's own base."""
OFFERED = ("workflow/experiments/", "profiles/")
"""Where files lie that users name by their path in the repository, wherever they work."""


def base_path(base: str) -> Path:
    """Where a base lies that is a folder. base: as `model.base` has it; of a hub id no folder exists there."""
    return Path(__file__).parent / "miniature" / "base" if base == MINIATURE else Path(base)


def shipped(path: str) -> str:
    """`path` itself, or the shipped file or folder of this name when none lies here: `workflow/experiments/llama3-8b.yaml` anywhere."""
    own = ROOT / path
    return str(own) if path.startswith(OFFERED) and not Path(path).exists() and own.exists() else path


def shipped_profile(name: str) -> str:
    """A profile as snakemake is to find it: one here or of the user's comes first, then a shipped one, by path or by name alone."""
    own = ROOT / "profiles" / name.removeprefix("profiles/")
    return str(own) if not Path(name).exists() and own.is_dir() else name
