"""Evaluates one run on one suite through lm-eval, and writes every item's answer and the tasks' scores."""

import json
import math
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from equipoise.config import Experiment
from equipoise.determinants import determinants
from equipoise.errors import UserError
from equipoise.evaluation.grading import sandboxed
from equipoise.evaluation.items import SuiteItems
from equipoise.evaluation.loss import measured_rows
from equipoise.evaluation.loss_items import LossItems
from equipoise.evaluation.session import Session, applied, quantisation_of
from equipoise.files import atomic_path, file_digest
from equipoise.harness.tasks import FEWSHOT_SEED, reseed_fewshot
from equipoise.layout import Run
from equipoise.measures import ACCURACY, LOSS, Measure
from equipoise.modelling.base import own_template
from equipoise.progress import log
from equipoise.store.artefact import is_made, open_artefact, publish
from equipoise.store.kind import run_names, scores_names
from equipoise.store.manifest import fingerprint
from equipoise.training.divergence import failure


def evaluate(config: Experiment, run: Run, suite: str, suite_seed: int | str, session: Session | None = None) -> None:
    """Evaluates `run` on `suite` and writes layout.samples (JSON lines) and layout.scores (manifest, last).

    A line of samples: task, lm_eval_task, doc_id, content_hash, prompt, target, response, score (0..1). A task's score is the mean over
    its items in per cent, its standard error that of a mean. suite_seed: of generation, or `loss`: then a line's score is the item's
    held-out loss and a task's their mean, in nats a token, and there is a number of tokens instead of a response. Where answers are
    programs, `sandbox` says the mode and version of what they ran in. A run whose training failed gets scores without tasks, with the
    reason as `failed`, and no samples. `session` keeps model and tasks alive for further runs; none: a new one. Raises `UserError` for
    unknown suites, missing hold-outs or adapters, and metrics the lm-eval tasks do not report.
    """
    if suite not in config.suites:
        raise UserError(f"suites: no suite {suite!r}; write one of {', '.join(config.suites)}")
    layout = config.layout
    if run.trained and Path(layout.run_manifest(run)).exists() and (reason := failure(config, run)):
        _write(config, run, suite, suite_seed, [], tasks={}, failed=reason, fingerprint=fingerprint(reason))
        log(f"evaluate {run.path}, suite {suite}: nothing to evaluate, {reason}")
        return
    session = session or Session(config)
    adapter = str(open_artefact(config, "run", **run_names(run)).folder()) if run.trained else None
    measure, within = LOSS if suite_seed == LOSS.name else ACCURACY, {}
    items = session.loss_items(suite) if measure is LOSS else session.items(suite)
    identity = (
        _loss_fingerprint(session, items, suite, adapter) if measure is LOSS else _fingerprint(session, items, suite, suite_seed, adapter)
    )
    if is_evaluated(config, run, suite, suite_seed, identity):
        log(f"evaluate {run.path}, suite {suite}: already there")
        return
    if measure is LOSS:
        samples = measured_rows(session, items, suite, adapter)
        scores = {name: items.facts[name] | _mean(samples, name, LOSS) for name in items.facts}
    else:
        if adapter is None and config.suites[suite].chat and own_template(session.tokenizer):
            log(
                f"WARNING: {run.path} is asked under model.chat_template: paper, which this base, with a template of its own, does not know"
            )
        within = {"sandbox": items.sandbox} if items.sandbox else {}
        answers, cut = _ask(session, suite, suite_seed, adapter)
        samples = item_rows(config, items, answers)
        scores = task_scores(config, items, samples, cut)
        for line in _cut_prompts(scores, suite):
            log(f"WARNING: {line}")
    _write(config, run, suite, suite_seed, samples, tasks=scores, fingerprint=identity, **within)
    said = ", ".join(f"{task} {value['score']:.{measure.digits}f}" for task, value in scores.items())
    log(f"evaluate {run.path}, suite {suite}: {said} ({measure.unit if measure is LOSS else 'per cent'})")


def _write(config: Experiment, run: Run, suite: str, suite_seed: int | str, samples: list[dict[str, Any]], **content: Any) -> None:
    path = config.layout.samples(run, suite, suite_seed)
    with atomic_path(path) as part, open(part, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in samples)
    publish(
        config,
        "scores",
        scores_names(run, suite, suite_seed),
        [path],
        run=vars(run),
        suite=suite,
        suite_seed=suite_seed,
        samples_digest=file_digest(path),
        **content,
    )


def is_evaluated(config: Experiment, run: Run, suite: str, suite_seed: int | str, identity: str) -> bool:
    """Whether scores and samples of the same inputs exist and are complete."""
    made = is_made(config, "scores", **scores_names(run, suite, suite_seed))
    return made is not None and made["fingerprint"] == identity


def _ask(
    session: Session, suite: str, suite_seed: int, adapter: str | None
) -> tuple[dict[str, list[dict[str, Any]]], set[tuple[str, int]]]:
    """lm-eval's logged samples by leaf task, and the items (leaf task and document) whose prompt was cut."""
    import lm_eval.evaluator

    items = session.items(suite)
    for task in items.tasks.values():
        if getattr(task, "sampler", None) is not None:
            reseed_fewshot(task)
    with sandboxed(session.config.sandbox), session.language_model(suite, adapter) as language_model:
        language_model.start(suite_seed)
        results = lm_eval.evaluator.evaluate(
            language_model,
            {"tasks": items.tasks, "groups": {}, "group_map": {}},
            samples=items.samples,
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=session.config.suites[suite].chat,
            fewshot_as_multiturn=False,
            confirm_run_unsafe_code=True,
        )
        cut = set(language_model.prompts.cut)
    return results["samples"], cut


def item_rows(config: Experiment, items: SuiteItems, answers: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row per item, tasks in config order, checked: every chosen document once, in order, known by its content hash.

    Raises `UserError` when a task's metric and filter are not among what lm-eval reports.
    """
    rows = []
    for name, leaves in items.leaves.items():
        metric, _, wanted_filter = config.tasks[name].metric.partition(",")
        for leaf in leaves:
            logged = [sample for sample in answers[leaf] if sample["filter"] == (wanted_filter or "none") and metric in sample]
            if not logged:
                known = sorted({f"{m},{s['filter']}" for s in answers[leaf] for m in s["metrics"]})
                asked = config.tasks[name].metric
                raise UserError(f"tasks.{name}.metric: {leaf} does not report {asked!r}; write one of {', '.join(known)}")
            if [sample["doc_id"] for sample in logged] != items.samples[leaf]:
                raise RuntimeError(f"{leaf}: lm-eval logged other documents than it was asked for")
            rows += [_row(name, leaf, items, sample, float(sample[metric])) for sample in logged]
    return rows


def _row(name: str, leaf: str, items: SuiteItems, sample: dict[str, Any], score: float) -> dict[str, Any]:
    from equipoise.harness.documents import content_hash, question

    task = items.tasks[leaf]
    known_as = items.hashes[leaf][sample["doc_id"]]
    if content_hash(question(task, sample["doc"])) != known_as:
        raise RuntimeError(f"{leaf}: lm-eval logged document {sample['doc_id']} with another document's content")
    return {
        "task": name,
        "lm_eval_task": leaf,
        "doc_id": sample["doc_id"],
        "content_hash": known_as,
        "prompt": sample["arguments"][0][0],
        "target": items.targets[leaf][sample["doc_id"]],
        "response": _response(task, sample),
        "score": score,
    }


def _response(task: Any, sample: dict[str, Any]) -> str:
    """The generated text, or the most likely choice of a multiple-choice item."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return str(sample["resps"][0][0])
    likelihoods = [answers[0][0] for answers in sample["resps"]]
    return str(task.doc_to_choice(sample["doc"])[likelihoods.index(max(likelihoods))])


def _cut_prompts(scores: dict[str, dict[str, Any]], suite: str) -> list[str]:
    return [
        f"tasks.{name}: {value['cut']} of {value['items']} prompts are longer than the base's context has room for, and lost their "
        f"beginning; write fewer shots or a smaller max_new_tokens under suites.{suite}"
        for name, value in scores.items()
        if value["cut"]
    ]


def task_scores(config: Experiment, items: SuiteItems, rows: list[dict[str, Any]], cut: set[tuple[str, int]]) -> dict[str, dict[str, Any]]:
    """Per task: metric, score (mean over its items, per cent), stderr (of that mean, per cent), items, held_out, and cut: items whose
    prompt was longer than the context."""
    return {
        name: {
            "metric": config.tasks[name].metric,
            **_mean(rows, name, ACCURACY),
            "held_out": items.held_out[name],
            "cut": sum((row["lm_eval_task"], row["doc_id"]) in cut for row in rows if row["task"] == name),
        }
        for name in items.leaves
    }


def _mean(rows: list[dict[str, Any]], task: str, measure: Measure) -> dict[str, Any]:
    """Score (mean over a task's items), stderr (of that mean) and items."""
    values = [row["score"] for row in rows if row["task"] == task]
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) if len(values) > 1 else 0.0
    return {"score": measure.scale * mean, "stderr": measure.scale * math.sqrt(variance / len(values)), "items": len(values)}


def definition(task: Any) -> dict[str, Any]:
    """A task's definition as text, functions as their source, without where its data lie: documents are known by their content."""
    config = {key: value for key, value in task.dump_config().items() if key not in ("dataset_kwargs", "custom_dataset", "metadata")}
    return {key: re.sub(r" at 0x[0-9a-f]+", "", str(value)) for key, value in sorted(config.items())}


def _fingerprint(session: Session, items: SuiteItems, suite: str, suite_seed: int, adapter: str | None) -> str:
    determined = determinants(session.config, "evaluate", tasks=items.leaves, suites=[suite])
    return fingerprint(
        {
            "base": session.identity,
            "adapter": applied(session.config, suite, adapter, ACCURACY),
            "config": determined,
            "suite_seed": suite_seed,
            "fewshot_seed": FEWSHOT_SEED,
            "targets": items.target_manifests,
            "items": {leaf: [[i, items.hashes[leaf][i], items.targets[leaf][i]] for i in ids] for leaf, ids in items.samples.items()},
            "definitions": {leaf: definition(task) for leaf, task in items.tasks.items()},
            "lm_eval": version("lm-eval"),
        }
    )


def _loss_fingerprint(session: Session, items: LossItems, suite: str, adapter: str | None) -> str:
    batch = session.config.suites[suite].batch_size
    how = applied(session.config, suite, adapter, LOSS)
    content = {"base": session.identity, "adapter": how, "precision": session.config.model.precision, "batch": batch}
    content["quantisation"] = quantisation_of(session.config, suite)
    return fingerprint(content | {"attention": session.config.model.attention, "items": items.digest, "facts": items.facts})
