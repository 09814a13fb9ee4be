"""Validation examples of any lm-eval task: which split they come from, what they are to learn, and which of its documents serve.

What a definition asks for is its own affair, so whatever goes wrong in its templates and functions is said in one line (`in_one_line`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from equipoise.errors import UserError, first_line
from equipoise.harness.documents import content_hash, question, searched_text
from equipoise.harness.words import GRAM, sharing

if TYPE_CHECKING:
    from lm_eval.api.task import Task

Doc = Mapping[str, Any]
KINDS = ("validation", "training")
UNNAMED = ("validation", "valid", "val", "train")
"""Splits of data that a definition need not name, as MMLU's names the test split alone."""


@contextmanager
def in_one_line(where: str) -> Iterator[None]:
    """Errors of a definition's templates and functions, as one line. where: the task of the experiment and what was asked of it."""
    import jinja2

    try:
        yield
    except (jinja2.TemplateError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, SyntaxError) as error:
        raise UserError(f"{where}: {type(error).__name__}: {first_line(error)}; correct the definition") from error


def apart_split(where: str, task: "Task", leak_free: bool) -> tuple[str, list[Doc]]:
    """The split that validation examples are drawn from, and its documents as the task processes them.

    The validation split, else the training split, whichever is not the evaluated one, of the definition or else of its data; an evaluated
    validation split where there is no other (its examples then leave the evaluation), but not when leak-free. where: who asks, for
    messages. Raises `UserError` where there is none.
    """
    named = {kind: getattr(task.config, f"{kind}_split", None) or kind for kind in (*KINDS, "test") if getattr(task, f"has_{kind}_docs")()}
    evaluated = named.get("test", named.get("validation"))
    data = task.dataset if isinstance(getattr(task, "dataset", None), Mapping) else None
    for kind in KINDS:
        if kind in named and named[kind] != evaluated:
            if data is not None and named[kind] not in data:
                raise UserError(f"{where}: its data have no split {named[kind]!r}, they have {', '.join(data)}; correct {kind}_split")
            return named[kind], list(getattr(task, f"{kind}_docs")())
    for split in UNNAMED:
        if data is not None and split in data and split not in named.values():
            return split, list(task.config.process_docs(data[split]) if task.config.process_docs else data[split])
    if "validation" in named and not leak_free:
        return named["validation"], list(task.validation_docs())
    has = ", ".join(f"{kind}_split {name}" for kind, name in named.items())
    raise UserError(
        f"{where}: it has no validation or training split beside the one that is evaluated (it has {has}); name one in a definition of "
        "your own (validation_split), or write benchmark: jsonl with files"
    )


def refuse_unlearnable(where: str, task: "Task") -> None:
    """Raises `UserError` for a task whose documents have no prompt and target of text, by its definition alone."""
    config, kind = task.config, getattr(task, "OUTPUT_TYPE", None) or task.config.output_type
    if kind == "loglikelihood_rolling":
        raise UserError(f"{where}: it scores whole texts, without a prompt and a target; write benchmark: jsonl with files")
    if config.doc_to_image or config.doc_to_audio:
        raise UserError(f"{where}: its documents have images or sounds, which are not text; name another task")
    if isinstance(config.doc_to_target, int) and config.doc_to_choice is None:
        raise UserError(f"{where}: its target is the number {config.doc_to_target} for every document, no text to learn; name another task")


def reference(task: "Task", doc: Doc) -> str | None:
    """The target of a document as the evaluation counts it: the right choice of several, the first of several answers; none where it has
    none. Raises `UserError` for a target that is no text."""
    target = task.doc_to_target(doc)
    if isinstance(target, list):
        target = target[0] if target else ""
    if task.config.doc_to_choice is not None:
        choices = task.doc_to_choice(doc)
        if isinstance(target, int):
            return str(choices[target]) if 0 <= target < len(choices) else None
        return target if target in choices else None
    if not isinstance(target, str | int | float):
        raise UserError(f"lm-eval task {task.config.task}: its target is a {type(target).__name__}, no text; correct doc_to_target")
    return str(target) if str(target).strip() else None


def continuation(task: "Task", target: str, chat: bool) -> str:
    """A target as it follows the prompt where lm-eval scores it, or puts it in a shot: behind the delimiter, unless a template stands
    between them."""
    if chat or task.OUTPUT_TYPE == "loglikelihood":
        return target
    return task.config.target_delimiter + target


def serving(tasks: Mapping[str, "Task"], evaluated: Mapping[str, Iterable[Doc]]) -> tuple[Callable[[str, Doc], bool], Counter[str]]:
    """Whether a document of a leaf task serves: it has a target, and shares no question and no run of words with an evaluated one.

    evaluated: documents by leaf. The counter says why those that were asked about do not.
    """
    known, texts = set(), []
    for leaf, docs in evaluated.items():
        for doc in docs:
            known.add(content_hash(question(tasks[leaf], doc)))
            texts.append(_words(tasks[leaf], doc))
    shares, reasons = sharing(texts), Counter()

    def serves(leaf: str, doc: Doc) -> bool:
        reason = None
        if reference(tasks[leaf], doc) is None:
            reason = "have no target"
        elif content_hash(question(tasks[leaf], doc)) in known or shares(_words(tasks[leaf], doc)):
            reason = f"share their question or {GRAM} words with an evaluated item"
        reasons.update([reason] if reason else [])
        return reason is None

    return serves, reasons


def _words(task: "Task", doc: Doc) -> str:
    return f"{searched_text(task, dict(doc))} {reference(task, doc) or ''}"
