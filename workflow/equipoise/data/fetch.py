"""Brings base, pool and benchmark data from the hub into the local cache once, so that every later stage runs offline."""

import os
from itertools import islice
from typing import Any

from equipoise.benchmarks import BENCHMARKS, concerned
from equipoise.config import Experiment, Task
from equipoise.errors import UserError
from equipoise.progress import log
from equipoise.store.artefact import publish


def fetch(config: Experiment) -> None:
    """Fetches what the experiment names by hub id; writes <results>/<experiment>/fetch.json: ids, revisions, commits they stand for.

    Base: weights (safetensors), configuration and tokenizer. Pool: the data set of `pool.dataset`. Tasks: the data of their lm-eval
    tasks, prepared as lm-eval wants them, and NLTK's punkt_tab for IFEval. Raises `UserError` when offline, when an id is missing or
    gated, when a task's data do not have the columns its definition reads, and when all of IFEval is evaluated without punkt_tab.
    """
    if os.environ.get("HF_HUB_OFFLINE") or os.environ.get("HF_DATASETS_OFFLINE"):
        raise UserError("fetch: HF_HUB_OFFLINE is set; unset it on a machine with internet, fetch there, and set it for the other stages")
    content: dict[str, Any] = {}
    if any(map(_needs_punkt_tab, config.tasks.values())):  # first: without it gigabytes of weights are of no use
        content["punkt_tab"] = _fetch_punkt_tab(config)
    content |= {"base": _fetch_base(config), "pool": _fetch_pool(config), "tasks": {}}
    for name in config.tasks:
        content["tasks"][name] = _fetch_task(config, name)
    publish(config, "fetch", {}, **content)
    log("fetch: everything is in the cache; set HF_HUB_OFFLINE=1 for the stages on machines without internet")


def _fetch_base(config: Experiment) -> dict[str, str]:
    from equipoise.modelling.base import base_folder
    from equipoise.modelling.base_files import read_architecture, weight_files
    from equipoise.store.digests import refuse_damaged_blobs

    folder = base_folder(config.model)
    read_architecture(folder, config.model.base)
    weight_files(folder, config.model.base)
    refuse_damaged_blobs(folder)
    commit = folder.name if len(folder.name) == 40 and folder.parent.name == "snapshots" else ""  # a user's own folder has none
    return {"id": config.model.base, "revision": config.model.revision, "commit": commit}


def _fetch_pool(config: Experiment) -> dict[str, Any]:
    pool = config.pool
    if pool.dataset is None:
        return {}
    from equipoise.conversation.reading import Summary, read_records
    from equipoise.conversation.sources import dataset_rows, load_hub
    from equipoise.data.pool import pool_options
    from equipoise.harness.revisions import commits

    splits = load_hub(pool.dataset, pool.name, pool.revision)
    if pool.split not in splits:
        raise UserError(f"pool.split: {pool.dataset} has no split {pool.split!r}; write one of {', '.join(splits)}")
    rows = splits[pool.split]
    list(read_records(islice(dataset_rows(rows, pool.dataset), 1), pool_options(pool), Summary()))  # refused here rather than offline
    return {"id": pool.dataset, "name": pool.name, "revision": pool.revision, "commits": commits(splits), "rows": rows.num_rows}


def _fetch_task(config: Experiment, name: str) -> dict[str, Any]:
    from equipoise.harness.documents import refuse_missing_columns
    from equipoise.harness.revisions import commits
    from equipoise.harness.tasks import load_tasks

    task = config.tasks[name]
    source = BENCHMARKS[task.benchmark]
    names = task.lm_eval_tasks or source.tasks
    if not names:
        return {}
    include_path = config.suites[task.suite].include_path if task.suite else None
    loaded = load_tasks(names, include_path, f"tasks.{name}.lm_eval_tasks", task.revision).tasks
    for leaf, lm_eval_task in loaded.items():
        refuse_missing_columns(source, f"tasks.{name}", leaf, lm_eval_task)
    log(f"fetch {name}: {len(loaded)} lm-eval tasks")
    return {leaf: commits(lm_eval_task.dataset) for leaf, lm_eval_task in loaded.items()}


def _needs_punkt_tab(task: Task) -> bool:
    return any(entry.punkt_tab for entry in concerned(task.benchmark, task.lm_eval_tasks))


def _fetch_punkt_tab(config: Experiment) -> bool:
    """NLTK's sentence splitter. It may be missing when a suite has a limit, which may leave out all items of IFEval that need it."""
    import nltk

    from equipoise.harness.documents import REMEDY, has_punkt_tab

    if has_punkt_tab() or nltk.download("punkt_tab", quiet=True):
        return True
    lacking = "NLTK's punkt_tab could not be fetched"
    for name, task in config.tasks.items():
        if _needs_punkt_tab(task) and task.suite and config.suites[task.suite].limit is None:
            raise UserError(f"tasks.{name}: {lacking}, and without suites.{task.suite}.limit items are evaluated that need it; {REMEDY}")
    log(f"WARNING: {lacking}; IFEval's items that need it will be refused, so {REMEDY}")
    return False
