"""Starts snakemake so that one command serves the first run and every rerun, also after a kill.

A killed snakemake leaves its Slurm jobs running and its working directory locked. Jobs and lock are known to be stale, and removed, only
when nobody alive controls a run there: every snakemake holds a lease (see cluster/controllers.py), `equipoise run` from its beginning, a
plain one from the moment it starts jobs.
"""

import os
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from equipoise.cluster.controllers import hold_controller, leases_of, living_controller
from equipoise.cluster.leftovers import cancel_leftovers, leftovers
from equipoise.errors import UserError
from equipoise.store.lease import lease

RUNS_NOTHING = (
    *("dryrun", "lint", "list_rules", "list_target_rules", "print_compilation", "dag", "rulegraph", "filegraph", "d3dag"),
    *("containerize", "generate_unit_tests", "unlock", "cleanup_metadata", "cleanup_shadow", "container_cleanup_images"),
    *("conda_cleanup_envs", "conda_create_envs_only", "list_conda_envs", "list_changes", "list_input_changes", "list_params_changes"),
    *("list_untracked", "summary", "detailed_summary", "archive", "delete_all_output", "delete_temp_output"),
)


def run_snakemake(arguments: list[str]) -> None:
    """Ends this process as `snakemake ARGUMENTS`, after cancelling the Slurm jobs of a dead one and removing its lock.

    Options that run nothing are handed on as they are. Raises `UserError` when a live snakemake controls a run in the folder.
    """
    from snakemake.cli import args_to_api, parse_args, print_exception

    try:
        parser, options = parse_args(arguments)
    except Exception as error:  # as snakemake's own entry does: a profile that cannot be read, a folder that is none
        print_exception(error)
        sys.exit(1)
    if not runs_nothing(options):
        folder = Path(options.directory or ".")
        own_run(folder)
        clear_leftovers(folder, arguments)
        options.rerun_incomplete = True  # whatever the profile says: a job that a kill cut off runs again when the command is retyped
    sys.exit(0 if args_to_api(options, parser) else 1)


def runs_nothing(options: Namespace) -> bool:
    """Whether snakemake, so asked, only shows or tidies something: it takes no lock and needs none."""
    return any(getattr(options, name) not in (None, False) for name in RUNS_NOTHING) or (
        options.report is not None and not options.report_after_run
    )


def own_run(folder: str | Path = ".") -> None:
    """Makes this process the one that controls the run in `folder`, until it ends.

    Raises `UserError` naming the other when somebody alive controls one.
    """
    folder = Path(folder).resolve()
    try:
        with lease(leases_of(folder) / "start"):  # of two that start together one is first
            if other := living_controller(folder):
                raise UserError(f"{folder}: a run is going on here ({other.described}); wait for it, or stop it first")
            if others := live_snakemakes(folder):
                raise UserError(f"{folder}: snakemake runs here (process {others[0]}); wait for it, or stop it first")
            hold_controller(folder)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror}; a run needs to write to its folder") from None


def clear_leftovers(folder: Path, arguments: list[str]) -> None:
    """Cancels the jobs and removes the lock that a dead snakemake left in `folder`, which this process owns.

    Ends this process, with nothing touched, when snakemake refuses `ARGUMENTS` or the configuration.
    """
    locks = folder / ".snakemake" / "locks"
    locked = locks.is_dir() and any(locks.iterdir())
    if not locked and not leftovers(folder):
        return
    command = [sys.executable, "-m", "snakemake", "--list-rules", *arguments]
    read = subprocess.run(command, capture_output=True, text=True, check=False)
    if read.returncode:
        sys.stderr.write(read.stderr)
        sys.exit(read.returncode)
    cancel_leftovers(folder)
    if locked:
        print("the last run was cut off; removing its lock and going on from what it finished", file=sys.stderr, flush=True)
        shutil.rmtree(locks)


def live_snakemakes(folder: str | Path = ".") -> list[int]:
    """Processes of this host, other than this one, that control a run in `folder` (not the jobs of one), with a lease or without."""
    there, found = os.stat(folder), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            same_place = os.path.samestat(os.stat(entry / "cwd"), there)
        except OSError:
            continue  # gone meanwhile, or somebody else's
        if (
            same_place
            and int(entry.name) != os.getpid()
            and b"--target-jobs" not in words
            and any(_is_snakemake(words[i : i + 2]) for i in range(3))
        ):
            found.append(int(entry.name))
    return sorted(found)


def _is_snakemake(words: list[bytes]) -> bool:
    return words == [b"-m", b"snakemake"] or (bool(words) and Path(os.fsdecode(words[0])).name == "snakemake")
