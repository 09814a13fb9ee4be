"""Starts snakemake so that one command serves the first run and every rerun, also after a kill.

A killed snakemake leaves its Slurm jobs running and its working directory locked. Jobs and lock are known to be stale, and removed, only
when no living process controls a run there: every snakemake holds a lease (see cluster/controllers.py), `equipoise run` from its start, a
plain one from the moment it starts jobs.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

from equipoise.cluster.controllers import hold_controller, leases_of, living_controller
from equipoise.errors import UserError
from equipoise.progress import log
from equipoise.shipped import SNAKEFILE, shipped, shipped_profile
from equipoise.store.lease import lease

RUNS_NOTHING = (
    *("dryrun", "lint", "list_rules", "list_target_rules", "print_compilation", "dag", "rulegraph", "filegraph", "d3dag"),
    *("containerize", "generate_unit_tests", "unlock", "cleanup_metadata", "cleanup_shadow", "container_cleanup_images"),
    *("conda_cleanup_envs", "conda_create_envs_only", "list_conda_envs", "list_changes", "list_input_changes", "list_params_changes"),
    *("list_untracked", "summary", "detailed_summary", "archive", "delete_all_output", "delete_temp_output"),
)
PROFILES, CONFIGURATIONS = ("--profile", "--workflow-profile"), ("--configfile", "--configfiles")
"""Snakemake's options whose files may be the program's own: of one value, and of all that follow."""
RUN_NAME = re.compile(r"(?:[A-Za-z0-9_-]+_)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The name that snakemake gives all Slurm jobs of one run, a prefix before it."""
LOGGER = "equipoise"
CANCELLING_TAKES_AT_MOST = 600.0


def run_snakemake(arguments: list[str]) -> None:
    """Ends this process as `snakemake ARGUMENTS`, after cancelling the Slurm jobs of a dead one and removing its lock.

    Options that run nothing are passed on as they are. Raises `UserError` when a live snakemake controls a run in the folder.
    """
    from snakemake.cli import args_to_api, parse_args, print_exception

    arguments = with_shipped_files(arguments)
    try:
        parser, options = parse_args(arguments)
        if not options.logger:  # neither typed nor in a profile
            parser, options = parse_args([*arguments, "--logger", LOGGER])
    except Exception as error:  # as snakemake's own entry does: an unreadable profile, a missing folder
        print_exception(error)
        sys.exit(1)
    if not runs_nothing(options):
        folder = Path(options.directory or ".")
        own_run(folder)
        clear_leftovers(folder, arguments)
        options.rerun_incomplete = True  # whatever the profile says: a job that a kill cut off runs again when the command is retyped
    sys.exit(0 if args_to_api(options, parser) else 1)


def with_shipped_files(arguments: list[str]) -> list[str]:
    """Snakemake's arguments with the shipped Snakefile, profiles and experiments where none of these names lies here.

    So the same command works in a checkout and, after an installation from a wheel, in any folder. Raises `UserError` for a configuration
    that is in neither place.
    """
    from snakemake.common import SNAKEFILE_CHOICES

    named, option = [], ""
    for argument in arguments:
        if argument.startswith("-"):
            option, given, value = argument.partition("=")
            if given:
                argument, option = f"{option}={_found(option, value)}", ""
        else:
            argument = _found(option, argument)
            option = "" if option in PROFILES else option
        named.append(argument)
    own = any(argument.partition("=")[0] in ("--snakefile", "-s") for argument in arguments)
    return named if own or any(path.exists() for path in SNAKEFILE_CHOICES) else [*named, "--snakefile", str(SNAKEFILE)]


def _found(option: str, value: str) -> str:
    """The value of an option of snakemake, as it is to be given."""
    if option in PROFILES:
        return shipped_profile(value)
    if option not in CONFIGURATIONS:
        return value
    if not Path(path := shipped(value)).is_file():
        raise UserError(f"{option} {value}: no such file; write the path of an experiment's YAML, and targets before this option")
    return path


def runs_nothing(options: Namespace) -> bool:
    """Whether snakemake, so asked, only shows or tidies something: it takes no lock and needs none."""
    return any(getattr(options, name) not in (None, False) for name in RUNS_NOTHING) or (
        options.report is not None and not options.report_after_run
    )


def own_run(folder: str | Path = ".") -> None:
    """Makes this process the one that controls the run in `folder`, until it ends.

    Raises `UserError` naming the other process when a living one controls a run there.
    """
    folder = Path(folder).resolve()
    try:
        with lease(leases_of(folder) / "start"):  # of two that start together, one goes first
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
    place, processes = os.stat(folder), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            same_place = os.path.samestat(os.stat(entry / "cwd"), place)
        except OSError:
            continue  # gone meanwhile, or another user's
        if (
            same_place
            and int(entry.name) != os.getpid()
            and b"--target-jobs" not in words
            and any(_is_snakemake(words[i : i + 2]) for i in range(3))
        ):
            processes.append(int(entry.name))
    return sorted(processes)


def _is_snakemake(words: list[bytes]) -> bool:
    return words == [b"-m", b"snakemake"] or (bool(words) and Path(os.fsdecode(words[0])).name == "snakemake")


def cancel_leftovers(folder: Path, seconds_between_looks: float = 2.0) -> list[str]:
    """Cancels the Slurm jobs that a dead controller left in `folder`, waits until they are gone, and returns their ids.

    Only the owner of the folder's run may call this. Finished chunks of what is cancelled are kept: the stages go on from them.
    Raises `UserError` when a job does not end.
    """
    jobs = leftovers(folder)
    if not jobs:
        return []
    log(f"cancelling {len(jobs)} Slurm jobs of the last run, whose snakemake died: {' '.join(jobs)}")
    subprocess.run(["scancel", *jobs], check=False)
    patience = time.monotonic() + CANCELLING_TAKES_AT_MOST
    while left := sorted(set(leftovers(folder)) & set(jobs)):
        if time.monotonic() > patience:
            raise UserError(f"Slurm jobs {' '.join(left)} do not end; look at them with `squeue --me`, then run again")
        time.sleep(seconds_between_looks)
    return jobs


def leftovers(folder: Path) -> list[str]:
    """Ids of this user's Slurm jobs, in any state of the queue, that snakemake submitted from `folder`; none without Slurm.

    Raises `UserError` when Slurm does not answer in a folder that has used it: an unseen job could write beside a new one.
    """
    if shutil.which("squeue") is None:
        return []
    shown = subprocess.run(["squeue", "--me", "--noheader", "--format=%i|%j|%Z"], capture_output=True, text=True, check=False)
    if shown.returncode and not (folder / ".snakemake" / "slurm_logs").is_dir():
        return []
    if shown.returncode:
        raise UserError(f"squeue: {shown.stderr.strip() or 'no answer'}; jobs of the last run may still run: try again when Slurm answers")
    jobs = [line.split("|", 2) for line in shown.stdout.splitlines()]
    return [job for job, name, place in jobs if RUN_NAME.fullmatch(name) and _same(Path(place), folder)]


def _same(place: Path, folder: Path) -> bool:
    try:
        return place.samefile(folder)
    except OSError:
        return False
