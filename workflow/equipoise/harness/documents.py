"""Documents of an lm-eval task as evaluated: their prompt, target and content hash, and whether their answers can be checked here."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from equipoise.benchmarks import BENCHMARKS
from equipoise.benchmarks.benchmark import Benchmark
from equipoise.errors import UserError

if TYPE_CHECKING:
    from lm_eval.api.task import Task

History = Sequence[dict[str, str]]
NEEDING_PUNKT_TAB = frozenset().union(*(entry.punkt_tab for entry in BENCHMARKS.values()))
REMEDY = "run `python -m nltk.downloader punkt_tab` on a machine with internet (NLTK_DATA names the folder that is searched)"


def content_hash(question: str) -> str:
    """SHA-256 of a question without the white space around it; validation examples and test items are compared by it."""
    return hashlib.sha256(question.strip().encode()).hexdigest()


def question(task: "Task", doc: dict[str, Any]) -> str:
    """The question of one document, without description, shots and template."""
    text = task.doc_to_text(doc)
    return text if isinstance(text, str) else "\n".join(map(str, task.doc_to_choice(doc)))


def searched_text(task: "Task", doc: dict[str, Any], columns: Sequence[str] = ()) -> str:
    """The words of a document that a pool is searched for, without the prompt around them, which unrelated texts may share.

    What the task's definition names (`doc_to_decontamination_query`), else those of `columns` that the document has, else its question.
    """
    query = task.config.doc_to_decontamination_query
    if query is not None:
        return str(task.doc_to_text(doc, query))
    parts = [doc[column] for column in columns if column in doc]
    return " ".join(" ".join(map(str, part)) if isinstance(part, list) else str(part) for part in parts) if parts else question(task, doc)


def as_one_turn(history: History) -> tuple[str, str]:
    """A chat history as one user turn (description, shots and question) and the begun answer, which is mostly empty.

    The chat format of training knows one user and one assistant turn, so a system message and shots go into the user's.
    """
    turns = [turn["content"] for turn in history]
    answer = turns.pop() if history[-1]["role"] == "assistant" else ""
    return "".join(turns), answer


def evaluation_prompt(task: "Task", doc: dict[str, Any], chat: bool) -> str:
    """The prompt of a document exactly as lm-eval puts it, before the chat format is applied around it.

    Raises `UserError` for a task with several contexts per document or a begun answer, which have no single prompt.
    """
    begun = task.doc_to_prefix(doc)
    if begun or task.multiple_input:
        raise UserError(f"lm-eval task {task.config.task}: a task with gen_prefix or several contexts cannot give validation prompts")
    shots = task.config.num_fewshot or 0
    if not chat:
        return task.fewshot_context(doc, num_fewshot=shots)
    return task.fewshot_context(
        doc,
        num_fewshot=shots,
        apply_chat_template=True,
        fewshot_as_multiturn=False,
        chat_template=lambda history, add_generation_prompt: as_one_turn(history)[0],
    )


def target_text(task: "Task", doc: dict[str, Any]) -> str:
    """The target of a document as text: the choice of a multiple-choice task, the first of several targets."""
    target = task.doc_to_target(doc)
    if isinstance(target, list):
        target = target[0]
    if task.config.doc_to_choice is not None and isinstance(target, int):
        target = task.doc_to_choice(doc)[target]
    return str(target)


def refuse_missing_columns(source: Benchmark, where: str, leaf: str, task: "Task") -> None:
    """Raises `UserError` naming data set, split and column when a split to evaluate or to draw from lacks one of `source.columns`.

    where: the task of the experiment; task: the loaded lm-eval task `leaf`.
    """
    wanted = (task.config.test_split or task.config.validation_split, source.split, source.leak_free_split)
    for split in dict.fromkeys(split for split in wanted if split in task.dataset):
        columns = task.dataset[split].column_names
        for column in source.columns:
            if column not in columns:
                raise UserError(
                    f"{where}: {task.config.dataset_path or leaf}, split {split}, has no column {column!r}, it has {', '.join(columns)}; "
                    "check the data set's id and revision"
                )


def has_punkt_tab() -> bool:
    """Whether NLTK finds its sentence splitter punkt_tab, without which some of IFEval's items cannot be checked."""
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        return False
    return True


def refuse_without_punkt_tab(where: str, docs: Iterable[Mapping[str, Any]]) -> None:
    """Raises `UserError` when a document's instructions need punkt_tab and it is missing. where: what asks, for the message."""
    needing = sum(not NEEDING_PUNKT_TAB.isdisjoint(doc.get("instruction_id_list") or ()) for doc in docs)
    if needing and not has_punkt_tab():
        raise UserError(f"{where}: {needing} of IFEval's items cannot be checked without NLTK's punkt_tab, which is not here; {REMEDY}")
