"""Which documents serve for validation and which then leave the test set: pure functions of documents and a seed."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Document:
    """One document of an lm-eval task's split."""

    leaf: str
    split: str
    doc_id: int
    content_hash: str
    doc: Mapping[str, Any]


def draw(
    documents: Mapping[str, Sequence[Document]], size: int, seed: str, accept: Callable[[Document], bool] = lambda document: True
) -> list[Document]:
    """`size` documents, uniform within each leaf task and spread evenly over the leaves, no content twice; fewer when there are no more.

    documents: by leaf. The result depends on `seed` and the documents alone, and is sorted by leaf (as given) and document id.
    """
    rng = random.Random(seed)
    queues = {leaf: rng.sample(list(listed), len(listed)) for leaf, listed in documents.items()}
    order = rng.sample(list(queues), len(queues))
    chosen: list[Document] = []
    seen: set[str] = set()
    while len(chosen) < size and any(queues.values()):
        for leaf in order:
            document = _next(queues[leaf], seen, accept)
            if document is not None and len(chosen) < size:
                chosen.append(document)
                seen.add(document.content_hash)
    place = {leaf: i for i, leaf in enumerate(documents)}
    return sorted(chosen, key=lambda document: (place[document.leaf], document.doc_id))


def _next(queue: list[Document], seen: set[str], accept: Callable[[Document], bool]) -> Document | None:
    while queue:
        document = queue.pop()
        if document.content_hash not in seen and accept(document):
            return document
    return None


def hold_out(
    evaluated: Mapping[str, Sequence[Document]],
    chosen: Iterable[Document],
    family: Callable[[Mapping[str, Any]], str] | None = None,
    evaluates: Callable[[Mapping[str, Any]], bool] | None = None,
) -> dict[str, list[int]]:
    """Sorted ids of the documents of each leaf's evaluated split that must not be evaluated.

    These are the chosen documents, others with the same question, others of their family, and those that `evaluates` refuses.
    """
    chosen = list(chosen)
    hashes = {document.content_hash for document in chosen}
    families = {family(document.doc) for document in chosen} if family else set()

    def leaves(document: Document) -> bool:
        if document.content_hash in hashes or (family and family(document.doc) in families):
            return True
        return evaluates is not None and not evaluates(document.doc)

    return {leaf: [document.doc_id for document in listed if leaves(document)] for leaf, listed in evaluated.items()}
