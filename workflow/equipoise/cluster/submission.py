"""What Slurm is asked for: how the resources of a job become options of `sbatch`, by the site's own rules.

Snakemake's Slurm plugin (up to 2.8.0) leaves gaps that cost days: GPUs of one job on several nodes, GPU models with a hyphen refused,
`--gpus` beside `--gres`, a group's runtimes added up beyond what the partition gives, no account without an accounting database.
`fix_submission` closes them in the plugin's own builder.
"""

import functools
import importlib
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from equipoise.errors import UserError

GPU_WORD = re.compile(r"[A-Za-z0-9_.:-]+")


@dataclass(frozen=True)
class SlurmSite:
    """How one cluster differs, as far as `sbatch` is concerned.

    Partitions are comma-separated names, empty for the cluster's default. gpu_model: as in Gres, empty for any. gpu_request: the option
    that asks for GPUs. max_runtime: minutes that a partition gives at most, by its name as above; "" for all others. gpu_resources: further
    resources of GPU jobs alone. cpu_resources: what takes their place in jobs without a GPU. accounting: whether there is a slurmdbd.
    """

    account: str = ""
    gpu_partition: str = ""
    cpu_partition: str = ""
    gpu_model: str = ""
    gpu_request: Literal["gpus", "gres"] = "gpus"
    cores_per_gpu: int = 8
    max_runtime: dict[str, int] = field(default_factory=dict)
    gpu_resources: dict[str, Any] = field(default_factory=dict)
    cpu_resources: dict[str, Any] = field(default_factory=dict)
    accounting: bool = True

    def asked(self, resources: Any) -> dict[str, Any]:
        """The resources of a job that differ from what snakemake made of them. resources: with a mapping's `get`.

        A job lies on one node. One without a GPU has no GPU model, goes to the CPU partition where the profile says the GPU partition, and
        has none of `gpu_resources`. No job asks for more minutes than its partition gives.
        """
        place = resources.get("slurm_partition") or ""
        changed: dict[str, Any] = {} if resources.get("nodes") or resources.get("mpi") else {"nodes": 1}
        if not asks_for_gpus(resources):
            changed |= {"gpu_model": "", **{name: self.cpu_resources.get(name) for name in self.gpu_resources}}
            if place == self.gpu_partition:
                changed["slurm_partition"] = place = self.cpu_partition
        most, wanted = self.max_runtime.get(place, self.max_runtime.get("")), resources.get("runtime")
        if most and isinstance(wanted, int) and wanted > most:
            changed["runtime"] = most
        return changed

    def gpus(self, resources: Any) -> str:
        """The options of `sbatch` that ask for GPUs and other generic resources. Raises `UserError` for names that Slurm cannot mean."""
        gres, count, model = resources.get("gres") or "", resources.get("gpu") or 0, resources.get("gpu_model") or ""
        for key, value in {"gres": gres, "gpu_model": model}.items():
            if value and not all(GPU_WORD.fullmatch(part) for part in str(value).split(",")):
                raise UserError(
                    f"site file, {key}: {value!r} is no name of Gres; write what `sinfo -o %G` shows, such as a100 or gpu:a100:2"
                )
        wanted = [gres] if gres else []
        flags = ""
        if count and not _names_gpus(gres):
            one = f"{model}:{count}" if model else str(count)
            if self.gpu_request == "gres":
                wanted.append(f"gpu:{one}")
            else:
                flags = f" --gpus={shlex.quote(one)}"
        return (f" --gres={shlex.quote(','.join(wanted))}" if wanted else "") + flags


def asks_for_gpus(resources: Any) -> bool:
    """Whether a job asks for a GPU: by the resource `gpu`, or by a `gres` that names gpu."""
    return bool(resources.get("gpu")) or _names_gpus(resources.get("gres") or "")


def _names_gpus(gres: str) -> bool:
    return any(re.split(r"[:/]", part)[0] == "gpu" for part in str(gres).split(","))


def fix_submission(site: SlurmSite) -> None:
    """Makes the plugin submit by the site's rules; does nothing without the plugin. A second call takes the place of the first."""
    with suppress(ImportError):
        plugin = importlib.import_module("snakemake_executor_plugin_slurm")
        command, partition, account = (
            _own(f) for f in (plugin.get_submit_command, plugin.Executor.get_partition_arg, plugin.Executor.get_account_arg)
        )

        @functools.wraps(command)
        def get_submit_command(job, *arguments, **named):
            return command(as_asked(job, site), *arguments, **named)

        @functools.wraps(plugin.set_gres_string)
        def set_gres_string(job):
            return site.gpus(as_asked(job, site).resources)

        @functools.wraps(partition)
        def get_partition_arg(executor, job):
            return partition(executor, as_asked(job, site))

        @functools.wraps(account)
        def get_account_arg(executor, job):
            named = job.resources.get("slurm_account")  # without a database nobody can say whether it is known
            return account(executor, job) if site.accounting else iter([f" -A {shlex.quote(str(named))}" if named else ""])

        plugin.get_submit_command, plugin.set_gres_string = get_submit_command, set_gres_string
        plugin.Executor.get_partition_arg, plugin.Executor.get_account_arg = get_partition_arg, get_account_arg


def _own(function: Any) -> Any:
    """The plugin's function under ours."""
    return getattr(function, "__wrapped__", function)


def as_asked(job: Any, site: SlurmSite) -> "_WithResources":
    """A job of snakemake's with the resources that the site's rules give it."""
    return _WithResources(job, **site.asked(job.resources))


class _WithResources:
    """A job with some resources changed, or taken away (None)."""

    def __init__(self, job, **changed):
        self._job = job
        resources = dict(job.resources.items()) | changed
        self.resources = type(job.resources)(fromdict={name: value for name, value in resources.items() if value is not None})

    def __getattr__(self, name):
        return getattr(self._job, name)
