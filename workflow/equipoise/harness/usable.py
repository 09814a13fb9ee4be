"""lm-eval tasks whose scores or answers would be refused after training, refused before it."""

from collections.abc import Iterable
from numbers import Real
from typing import TYPE_CHECKING, Any

from equipoise.benchmarks import BENCHMARKS, concerned
from equipoise.config import Experiment, Suite, Task
from equipoise.errors import UserError
from equipoise.harness.documents import evaluation_prompt, target_text
from equipoise.harness.drawing import in_one_line, reference, refuse_unlearnable
from equipoise.harness.tasks import load_tasks, set_up
from equipoise.measures import ACCURACY, LOSS, measures_of

if TYPE_CHECKING:
    from lm_eval.api.task import Task as EvalTask

DEFAULT_ANSWER = 256
"""Tokens that lm-eval lets an answer have where a task does not say."""
MEANS = ("mean", "nanmean")


def refuse_unusable_tasks(config: Experiment, positions: int | None, names: Iterable[str] | None = None) -> None:
    """Raises `UserError` for the first task with a metric that is no share of right answers, or with answers longer than the context.

    positions: tokens that the base has positions for; none: any number. names: tasks of the experiment (none: all). Loads their data.
    """
    for name in config.tasks if names is None else names:
        task = config.tasks[name]
        if task.suite is None or not task.lm_eval_tasks:
            continue
        suite = config.suites[task.suite]
        loaded = load_tasks(task.lm_eval_tasks, suite.include_path, f"tasks.{name}.lm_eval_tasks", task.revision).tasks
        for leaf, lm_eval_task in loaded.items():
            set_up(lm_eval_task, suite)
            measures = measures_of(suite.measure)
            if ACCURACY in measures:
                _refuse_metric(name, task, leaf, lm_eval_task)
                _refuse_longer_answers(task.suite, suite, leaf, lm_eval_task, positions)
            if LOSS in measures:
                _refuse_no_reference(name, task, leaf, lm_eval_task)


def _refuse_longer_answers(name: str, suite: Suite, leaf: str, task: "EvalTask", positions: int | None) -> None:
    if positions is None or task.OUTPUT_TYPE != "generate_until":
        return
    longest = (task.config.generation_kwargs or {}).get("max_gen_toks", DEFAULT_ANSWER)
    if longest >= positions:
        where = "max_new_tokens" if suite.max_new_tokens else f"max_new_tokens (not given; {leaf} says {longest})"
        raise UserError(f"suites.{name}.{where}: answers of {longest} tokens leave no room for a prompt in {positions}; write fewer")


def _refuse_no_reference(name: str, task: Task, leaf: str, lm_eval_task: "EvalTask") -> None:
    """Held-out loss needs a prompt and a response of text; of the first document, where the benchmark does not say it itself."""
    source, doc = BENCHMARKS[task.benchmark], next(iter(lm_eval_task.eval_docs), None)
    if source.accept is None and source.response is None and doc is not None:
        where = f"tasks.{name}: lm-eval task {leaf}"
        refuse_unlearnable(where, lm_eval_task)
        with in_one_line(f"{where} cannot be put into words"):
            reference(lm_eval_task, doc)
            evaluation_prompt(lm_eval_task, doc, chat=False)


def _refuse_metric(name: str, task: Task, leaf: str, lm_eval_task: "EvalTask") -> None:
    """A score is a mean over items, in per cent: each item's value is a number from 0 to 1."""
    metric, _, wanted = task.metric.partition(",")
    where = f"tasks.{name}.metric"
    known = lm_eval_task.aggregation()
    filters = [each.name for each in getattr(lm_eval_task, "_filters", [])] or ["none"]
    if metric not in known or (wanted or "none") not in filters:
        reported = ", ".join(sorted(f"{m},{f}" for m in known for f in filters))
        raise UserError(f"{where}: {leaf} does not report {task.metric!r}; write one of {reported}")
    how = getattr(known[metric], "__name__", str(known[metric]))
    if how not in MEANS:
        raise UserError(f"{where}: {leaf} aggregates {metric} by {how}, which is no mean over its items; write a metric that is one")
    value = _value_of_reference(task, lm_eval_task, metric)
    if value is not None and not (isinstance(value, Real) and 0 <= value <= 1):
        shown = f"a {type(value).__name__}" if not isinstance(value, Real) else f"{value:g} for its own reference"
        raise UserError(f"{where}: {metric} of {leaf} is {shown}, no number from 0 to 1; write a metric that says what share is right")


def _value_of_reference(task: Task, lm_eval_task: "EvalTask", metric: str) -> Any:
    """The metric of the first document when it is answered by its own reference; none where that cannot be had without running it."""
    if getattr(lm_eval_task, "UNSAFE_CODE", False) or any(each.runs_programs for each in concerned(task.benchmark, task.lm_eval_tasks)):
        return None
    doc = next(iter(lm_eval_task.eval_docs), None)
    if doc is None:
        return None
    try:
        if lm_eval_task.OUTPUT_TYPE == "multiple_choice":
            answers: list[Any] = [(-1.0 - place, False) for place in range(len(lm_eval_task.doc_to_choice(doc)))]
            answers *= 2 if "acc_mutual_info" in lm_eval_task.aggregation() else 1
        elif lm_eval_task.OUTPUT_TYPE == "loglikelihood":
            answers = [(-1.0, True)]
        elif lm_eval_task.OUTPUT_TYPE == "loglikelihood_rolling":
            answers = [-1.0]
        else:
            answers = [target_text(lm_eval_task, doc)]
        return lm_eval_task.process_results(doc, answers).get(metric)
    except Exception:  # the definition's own code, which a made-up answer need not suit: `evaluate` sees real ones
        return None
