"""lm-eval's task objects: found by name, loaded once, set up as a suite wants them."""

import logging
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.config import Suite
from equipoise.errors import UserError
from equipoise.hub import hub_reason

if TYPE_CHECKING:
    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager

OWN_TASKS = Path(__file__).parents[1] / "evaluation" / "tasks"
FEWSHOT_SEED = 1234


@dataclass
class LoadedTasks:
    """Leaf tasks by name, and under every requested name the leaves it stands for, in lm-eval's order."""

    tasks: dict[str, "Task"] = field(default_factory=dict)
    leaves: dict[str, list[str]] = field(default_factory=dict)


def load_tasks(
    names: Sequence[str], include_path: str | None = None, where: str = "lm_eval_tasks", revision: str | None = None
) -> LoadedTasks:
    """Loads lm-eval tasks, groups and tags by name, with the package's own definitions and those under `include_path`.

    where: the config key that named them, for the message. revision: of their hub data; none: as the definitions say. Raises `UserError`
    for an undefined name and for data that cannot be loaded.
    """
    _quieten()
    _compile_templates_once()
    manager = _task_manager(names, include_path, where)
    loaded = LoadedTasks()
    for name in dict.fromkeys(names):
        try:
            with _data_at(revision):
                tasks = manager.load([name])["tasks"]
        except Exception as error:
            raise UserError(f"{where}: cannot load the data of lm-eval task {name!r}: {hub_reason(error)}") from error
        for leaf, task in tasks.items():
            loaded.tasks.setdefault(leaf, task)
        loaded.leaves[name] = list(tasks)
    return loaded


@contextmanager
def _data_at(revision: str | None) -> Iterator[None]:
    """Tasks built inside load their data at a revision: lm-eval passes its overrides on to a group's tasks only by renaming them."""
    from lm_eval.api.task import ConfigurableTask

    download = ConfigurableTask.download

    def download_revision(task: Any, dataset_kwargs: dict[str, Any] | None = None, **rest: Any) -> None:
        if revision is not None:
            dataset_kwargs = task.config.dataset_kwargs = {**(dataset_kwargs or {}), "revision": revision}
        download(task, dataset_kwargs, **rest)

    ConfigurableTask.download = download_revision
    try:
        yield
    finally:
        ConfigurableTask.download = download


def _task_manager(names: Sequence[str], include_path: str | None, where: str) -> "TaskManager":
    """A manager that knows `names`. lm-eval's own 15,000 definitions take seconds to index, so they come in only when needed, and once."""
    import lm_eval.tasks

    folders = [str(OWN_TASKS)]
    if include_path is not None:
        if not Path(include_path).is_dir():
            raise UserError(f"include_path: no folder {include_path!r}; write the folder of your lm-eval task definitions (YAML)")
        folders.append(include_path)
    manager = lm_eval.tasks.TaskManager(include_path=folders, include_defaults=False)
    if all(name in manager.all_tasks for name in names):
        return manager
    manager = _stock_manager(tuple(folders))
    for name in names:
        if name not in manager.all_tasks:
            raise UserError(f"{where}: lm-eval has no task {name!r}; write a name of `lm-eval ls tasks`, or set the suite's include_path")
    return manager


@lru_cache(maxsize=8)
def _stock_manager(folders: tuple[str, ...]) -> "TaskManager":
    import lm_eval.tasks

    return lm_eval.tasks.TaskManager(include_path=list(folders))


def _quieten() -> None:
    """Keeps the libraries' chatter, and in logs their progress bars, from burying our own lines."""
    import datasets
    import lm_eval.api.task
    import transformers

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
        transformers.utils.logging.disable_progress_bar()
        if not isinstance(lm_eval.api.task.tqdm, partial):
            lm_eval.api.task.tqdm = partial(lm_eval.api.task.tqdm, disable=True)


def _compile_templates_once() -> None:
    """lm-eval compiles a Jinja template again for every document, which takes longer than all else in small evaluations."""
    import lm_eval.utils

    compile_template = lm_eval.utils.env.from_string
    if not hasattr(compile_template, "cache_info"):
        lm_eval.utils.env.from_string = lru_cache(maxsize=256)(compile_template)


def set_up(task: "Task", suite: Suite) -> None:
    """Applies a suite's shots and generation settings to a leaf task and resets its few-shot draw: every call gives the same prompts."""
    shots = suite.num_fewshot if suite.num_fewshot is not None else task.get_config("num_fewshot")
    task.set_config(key="num_fewshot", value=shots or 0)
    task.set_fewshot_seed(seed=FEWSHOT_SEED)
    if task.get_config("output_type") == "generate_until":
        task.set_config(key="generation_kwargs", value={**(task.config.generation_kwargs or {}), **generation_settings(suite)})


def generation_settings(suite: Suite) -> dict[str, Any]:
    """lm-eval's generation settings of a suite: greedy, or plain sampling at a temperature (no top-k, no nucleus)."""
    settings: dict[str, Any] = {"do_sample": False, "temperature": 0.0}
    if suite.temperature > 0:
        settings = {"do_sample": True, "temperature": suite.temperature, "top_k": 0, "top_p": 1.0}
    if suite.max_new_tokens is not None:
        settings["max_gen_toks"] = suite.max_new_tokens
    return settings


def fewshot_shares_test_split(task: "Task") -> bool:
    """Whether the task draws its shots from the split it is evaluated on (stock `gsm_plus` does)."""
    if getattr(task, "sampler", None) is None or task.fewshot_cfg.samples is not None:
        return False
    evaluated = task.config.test_split or task.config.validation_split
    drawn = task.fewshot_cfg.split or task.config.training_split or task.config.validation_split or task.config.test_split
    return evaluated == drawn


def reseed_fewshot(task: "Task") -> None:
    """Starts the few-shot draw again from its first state."""
    task.sampler.rnd = random.Random(FEWSHOT_SEED)
