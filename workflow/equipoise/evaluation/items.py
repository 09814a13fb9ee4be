"""Which items of a suite are evaluated: every document of its lm-eval tasks except the hold-outs.

lm-eval's `samples` has traps: a task left out of it and an empty list mean *everything*, and an unsorted list logs wrong document
ids. So every leaf task gets a sorted, explicit, non-empty list, and limits are applied inside it.
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.evaluation.sandbox import check_sandbox
from equipoise.files import file_digest
from equipoise.harness.chosen import choose
from equipoise.harness.documents import content_hash, question, refuse_without_punkt_tab, target_text
from equipoise.harness.revisions import commits
from equipoise.harness.shots import without_own_item, without_validation_shots
from equipoise.harness.tasks import load_tasks, set_up
from equipoise.progress import log
from equipoise.store.artefact import open_artefact

if TYPE_CHECKING:
    from lm_eval.api.task import Task


@dataclass
class SuiteItems:
    """A suite ready to be evaluated."""

    tasks: dict[str, "Task"]  # leaf tasks by name
    leaves: dict[str, list[str]]  # task of the experiment -> its leaf tasks
    samples: dict[str, list[int]]  # leaf -> sorted ids of the documents to evaluate
    hashes: dict[str, list[str]]  # leaf -> content hash of every document
    targets: dict[str, dict[int, str]]  # leaf -> target of every document to evaluate
    held_out: dict[str, int]  # task of the experiment -> documents that are not evaluated
    target_manifests: dict[str, str]  # task of the experiment -> digest of its targets' manifest
    runs_programs: bool = False  # whether answers are executed
    sandbox: dict[str, str] | None = None  # mode and version of what they are executed in


def suite_items(config: Experiment, suite: str, whole: bool = False) -> SuiteItems:
    """Loads a suite's lm-eval tasks and chooses their items, by the hold-outs in the targets' manifests.

    whole: for looking at the items only: without the suite's limit, and without checking that their answers can be graded here.
    Raises `UserError` when the data are no longer what the hold-outs were made for, or when a leaf task has no item left.
    """
    names = {name: task.lm_eval_tasks for name, task in config.tasks.items() if task.suite == suite and task.lm_eval_tasks}
    settings = config.suites[suite]
    loaded = {
        name: load_tasks(listed, settings.include_path, f"tasks.{name}.lm_eval_tasks", config.tasks[name].revision)
        for name, listed in names.items()
    }
    sandbox = None
    runs_programs = any(getattr(task, "UNSAFE_CODE", False) for tasks in loaded.values() for task in tasks.tasks.values())
    if runs_programs and not whole:
        sandbox = check_sandbox(config.sandbox)
        within = f"sandbox.mode: {sandbox['mode']}, {sandbox['version']}"
        log(f"WARNING: suite {suite} runs programs written by a language model on this machine ({within})")
    items = SuiteItems({}, {}, {}, {}, {}, {}, {}, runs_programs, sandbox)
    for name, listed in names.items():
        manifest = open_artefact(config, "targets", task=name)
        path = str(manifest.path)
        items.target_manifests[name] = file_digest(path)
        items.leaves[name] = [leaf for lm_eval_task in listed for leaf in loaded[name].leaves[lm_eval_task]]
        items.held_out[name] = 0
        validation = set(manifest["hashes"])
        for leaf in items.leaves[name]:
            if leaf in items.tasks:
                raise UserError(f"tasks.{name}.lm_eval_tasks: {leaf} is evaluated for another task already; name it once")
            task = loaded[name].tasks[leaf]
            _same_commits(leaf, commits(task.dataset), (manifest.get("sources") or {}).get(leaf), path)
            set_up(task, settings)
            held_out = manifest["holdout"].get(leaf, [])
            docs = list(task.eval_docs)  # a task with process_docs makes them again at every call
            hashes = [content_hash(question(task, doc)) for doc in docs]
            _same_documents(leaf, hashes, (manifest.get("holdout_hashes") or {}).get(leaf, []), held_out, path)
            kept = choose(leaf, hashes, held_out, validation, None if whole else settings.limit)
            if not whole:
                refuse_without_punkt_tab(f"suites.{suite}: {name}", (docs[doc_id] for doc_id in kept))
            without_validation_shots(task, validation)
            without_own_item(task)
            items.held_out[name] += len(hashes) - len(choose(leaf, hashes, held_out, validation, None))
            items.tasks[leaf], items.samples[leaf], items.hashes[leaf] = task, kept, hashes
            items.targets[leaf] = {doc_id: target_text(task, docs[doc_id]) for doc_id in kept}
            remember_requests(task)
    return items


def _same_commits(leaf: str, loaded: list[str], recorded: list[str] | None, path: str) -> None:
    if recorded is not None and loaded != recorded:
        raise UserError(f"{path}: the data of {leaf} are at another commit than when the hold-outs were made; run prepare_targets again")


def _same_documents(leaf: str, hashes: list[str], recorded: list[str], held_out: list[int], path: str) -> None:
    for doc_id, expected in zip(held_out, recorded, strict=True):
        if doc_id >= len(hashes) or hashes[doc_id] != expected:
            raise UserError(f"{path}: document {doc_id} of {leaf} has changed since the hold-outs were made; run prepare_targets again")


def remember_requests(task: Any) -> None:
    """Lets a task keep the requests it has built: asked for the same ones, it gets them again, emptied of answers.

    lm-eval's own request cache ignores `samples` and keeps pickles on disk, so it is not used.
    """
    build, built = partial(type(task).build_all_requests, task), {}

    def build_or_reuse(**wanted: Any) -> None:
        key = {name: value for name, value in wanted.items() if not callable(value)}
        if built.get("key") != key:
            build(**wanted)
            built.update(key=key, instances=task._instances)
        for instance in built["instances"]:
            instance.resps, instance.filtered_resps = [], {}
        task._instances = built["instances"]

    task.build_all_requests = build_or_reuse
