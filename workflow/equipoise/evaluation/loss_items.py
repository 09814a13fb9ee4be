"""Items whose held-out loss is measured: the evaluated documents of lm-eval tasks with their references, or rows of a user's files.

Prompts, template and masks are those of validation examples, so that what is measured is what influence was computed for.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from equipoise.benchmarks import BENCHMARKS
from equipoise.config import Experiment
from equipoise.conversation.reading import Summary
from equipoise.conversation.record import json_text
from equipoise.data.benchmark_examples import response_of
from equipoise.data.encoding import encode_rows, examples_digest
from equipoise.data.task_files import file_records, held_out_records
from equipoise.errors import UserError
from equipoise.evaluation.items import suite_items
from equipoise.harness.chosen import spread
from equipoise.harness.documents import content_hash, evaluation_prompt, refuse_without_punkt_tab
from equipoise.harness.drawing import in_one_line
from equipoise.harness.tasks import reseed_fewshot
from equipoise.measures import LOSS
from equipoise.progress import log
from equipoise.store.artefact import open_artefact
from equipoise.store.manifest import fingerprint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from equipoise.modelling.chat import Encoded

Row = dict[str, Any]


@dataclass
class LossItems:
    """A suite ready for its losses to be measured.

    rows: an item each, as in samples but for its score. examples: their tokens. facts: by task, what stands beside its score. digest: of
    rows and tokens.
    """

    rows: list[Row]
    examples: list["Encoded"]
    facts: dict[str, dict[str, Any]]
    digest: str


def loss_items(config: Experiment, suite: str, tokenizer: "PreTrainedTokenizerBase") -> LossItems:
    """The items of a suite that have a reference and fit `targets.max_length`, tasks in config order; what does not is counted and logged.

    Raises `UserError` for data that cannot be read or have changed since hold-outs were made, and for a task without any such item.
    """
    names = [name for name, task in config.tasks.items() if task.suite == suite]
    counts: dict[str, Counter[str]] = {name: Counter(held_out=0, no_reference=0, too_long=0, cut=0) for name in names}
    of_tasks = _of_lm_eval(config, suite, counts)
    of_tasks |= {name: _of_files(config, name, counts[name]) for name in names if not config.tasks[name].lm_eval_tasks}
    longest = config.targets.longest(config.model)
    rows, examples = [], []
    for name in names:
        listed = of_tasks[name]
        whole = encode_rows(listed, tokenizer, sys.maxsize, last_turn=config.training.last_turn)
        encoded = encode_rows(listed, tokenizer, longest, last_turn=config.training.last_turn)
        fitting = [place for place, example in enumerate(encoded) if example.completion_tokens]
        counts[name]["too_long"] = len(listed) - len(fitting)
        counts[name]["cut"] = sum(len(whole[place].input_ids) > longest for place in fitting)
        if not fitting:
            raise UserError(
                f"tasks.{name}: none of its {len(listed)} items has a reference response within {longest} tokens, so held-out loss cannot "
                "be measured; write a larger targets.max_length, or name other items"
            )
        rows += [listed[place] for place in fitting]
        examples += [encoded[place] for place in fitting]
        said = [f"{count:,} {kind.replace('_', ' ')}" for kind, count in counts[name].items() if count]
        log(f"held-out loss of {name}: {len(fitting):,} items" + (f" ({', '.join(said)})" if said else ""))
    facts = {name: {"metric": f"held_out_{LOSS.name}", **counts[name]} for name in names}
    return LossItems(rows, examples, facts, fingerprint([rows, examples_digest(examples)]))


def _of_files(config: Experiment, name: str, counts: Counter[str]) -> list[Row]:
    task, manifest = config.tasks[name], open_artefact(config, "targets", task=name)
    suite = config.suites[task.suite]
    records, counts["held_out"] = held_out_records(config, name, set(manifest["hashes"]))
    return [
        {
            **_row(name, name, record.id, content_hash(record.prompt), record.prompt, record.response, suite.chat),
            **({} if record.plain else {"messages": json_text(record.messages)}),
            **({"tools": json_text(record.tools)} if record.tools else {}),
        }
        for _, record in spread(records, suite.limit)
    ]


def _of_lm_eval(config: Experiment, suite: str, counts: dict[str, Counter[str]]) -> dict[str, list[Row]]:
    settings = config.suites[suite]
    items = suite_items(config, suite, whole=True)
    found: dict[str, list[Row]] = {}
    for name, leaves in items.leaves.items():
        found[name], counts[name]["held_out"] = [], items.held_out[name]
        for leaf in leaves:
            task, docs = items.tasks[leaf], list(items.tasks[leaf].eval_docs)
            with in_one_line(f"tasks.{name}: lm-eval task {leaf} cannot be put into words"):
                references = dict(_references(config, name, task, docs, items.samples[leaf], items.hashes[leaf]))
                counts[name]["no_reference"] += len(items.samples[leaf]) - len(references)
                if getattr(task, "sampler", None) is not None:
                    reseed_fewshot(task)
                for doc_id in spread(list(references), settings.limit):
                    prompt = evaluation_prompt(task, docs[doc_id], settings.chat)
                    found[name].append(_row(name, leaf, doc_id, items.hashes[leaf][doc_id], prompt, references[doc_id], settings.chat))
    return found


def _references(
    config: Experiment, name: str, task: Any, docs: list[Row], doc_ids: list[int], hashes: list[str]
) -> Iterator[tuple[int, str]]:
    """Reference responses by document: those that validation examples of the task would have."""
    settings = config.tasks[name]
    source, chat = BENCHMARKS[settings.benchmark], config.suites[settings.suite].chat
    if source.accept is None:
        for doc_id in doc_ids:
            if response := response_of(source, task, docs[doc_id], chat):
                yield doc_id, response
        return
    given = {content_hash(record.prompt): record.response for _, record in file_records(settings, settings.files, Summary())}
    for doc_id in doc_ids:
        response = given.get(hashes[doc_id])
        if response is not None:
            refuse_without_punkt_tab(f"suites.{settings.suite}: {name}", [docs[doc_id]])
            if source.accept(task, docs[doc_id], response):
                yield doc_id, response


def _row(name: str, leaf: str, doc_id: int | str, known_as: str, prompt: str, response: str, chat: bool) -> Row:
    row = {"task": name, "lm_eval_task": leaf, "doc_id": doc_id, "content_hash": known_as}
    return row | {"prompt": prompt, "response": response, "chat": chat}
