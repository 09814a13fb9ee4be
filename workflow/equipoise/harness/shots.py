"""Few-shot texts of an lm-eval task: no validation example may be among them."""

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from equipoise.errors import UserError
from equipoise.harness.documents import content_hash, question
from equipoise.harness.tasks import fewshot_shares_test_split
from equipoise.progress import log

if TYPE_CHECKING:
    from lm_eval.api.task import Task


def fixed_shots(task: "Task") -> set[str]:
    """Content hashes of the shots that are, or may be, in the prompt of every document: those a definition lists, and the first ones of a
    split. Empty where every document draws its own from a split."""
    from lm_eval.api.samplers import FirstNSampler

    shots, sampler = task.config.num_fewshot, getattr(task, "sampler", None)
    if not shots or sampler is None:
        return set()
    if isinstance(sampler, FirstNSampler):
        docs = list(sampler.fewshot_docs())[:shots]
    else:
        docs = list(sampler.fewshot_docs()) if task.fewshot_cfg.split is None and task.fewshot_cfg.samples is not None else []
    return set().union(*(_hashes(task, doc) for doc in docs))


def without_validation_shots(task: "Task", validation: set[str]) -> None:
    """Takes validation examples, known by content hash, out of what a task draws its shots from (stock `gsm_plus`: its test split).

    Raises `UserError` when too few are left.
    """
    shots, sampler = task.config.num_fewshot, getattr(task, "sampler", None)
    if not shots or sampler is None:
        return
    docs = list(sampler.fewshot_docs())
    kept = [doc for doc in docs if _hashes(task, doc).isdisjoint(validation)]
    if len(kept) == len(docs):
        return
    if len(kept) < shots + fewshot_shares_test_split(task):
        raise UserError(
            f"lm-eval task {task.config.task}: {len(docs) - len(kept)} of its {len(docs)} few-shot examples are validation examples, which "
            f"leaves too few for {shots} shots; give the task other validation examples or its suite fewer shots"
        )
    log(f"{task.config.task}: {len(docs) - len(kept)} validation examples leave the few-shot draw")
    sampler.replace_df(kept)


def without_own_item(task: "Task") -> None:
    """From now on no document is among its own shots, known by content: another takes its place, or none where there is no other.

    lm-eval looks only where the shots' split is named as the evaluated one, and compares whole rows. Draws without it stay as they are.
    """
    sampler = getattr(task, "sampler", None)
    if not task.config.num_fewshot or sampler is None or hasattr(sampler, "equipoise_asked"):
        return
    context, sample, known = task.fewshot_context, sampler.sample, {}
    sampler.equipoise_asked = None

    def hashes(doc: dict[str, Any]) -> set[str]:
        key = repr(doc)
        if key not in known:
            known[key] = _hashes(task, doc)
        return known[key]

    def context_of(doc: dict[str, Any], *given: Any, **named: Any) -> Any:
        asked = question(task, doc)
        sampler.equipoise_asked = content_hash(asked)
        try:
            return context(doc, *given, **named)
        finally:
            sampler.equipoise_asked = None

    def sample_others(n: int, eval_doc: Any = None, **named: Any) -> list[dict[str, Any]]:
        drawn = list(sample(n, **named) if _first_ones(sampler) else sample(n, eval_doc, **named))
        asked = sampler.equipoise_asked
        kept = [doc for doc in drawn if asked not in hashes(doc)]
        if len(kept) < len(drawn):
            others = (doc for doc in sampler.fewshot_docs() if doc not in drawn and asked not in hashes(doc))
            kept += islice(others, n - len(kept))
        return kept

    task.fewshot_context, sampler.sample = context_of, sample_others


def _first_ones(sampler: Any) -> bool:
    from lm_eval.api.samplers import FirstNSampler

    return isinstance(sampler, FirstNSampler)


def _hashes(task: "Task", doc: dict[str, Any]) -> set[str]:
    """What a shot is known by: its text as shots are put, and as documents are, where it has their fields."""
    import jinja2

    texts = [task.doc_to_text(doc, task.fewshot_cfg.doc_to_text)]
    with suppress(KeyError, jinja2.UndefinedError):
        texts.append(question(task, doc))
    return {content_hash(text) for text in texts if isinstance(text, str)}
