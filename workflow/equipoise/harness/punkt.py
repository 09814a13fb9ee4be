"""NLTK's sentence splitter punkt_tab, without which some of IFEval's items cannot be checked."""

from collections.abc import Iterable, Mapping
from typing import Any

from equipoise.benchmarks import BENCHMARKS
from equipoise.errors import UserError

NEEDING = frozenset().union(*(entry.punkt_tab for entry in BENCHMARKS.values()))
REMEDY = "run `python -m nltk.downloader punkt_tab` on a machine with internet (NLTK_DATA names the folder that is searched)"


def has_punkt_tab() -> bool:
    """Whether it lies where NLTK looks for it."""
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        return False
    return True


def refuse_without_punkt_tab(where: str, docs: Iterable[Mapping[str, Any]]) -> None:
    """Raises `UserError` when a document's instructions need what is not here. where: what asks, for the message."""
    needing = sum(not NEEDING.isdisjoint(doc.get("instruction_id_list") or ()) for doc in docs)
    if needing and not has_punkt_tab():
        raise UserError(f"{where}: {needing} of IFEval's items cannot be checked without NLTK's punkt_tab, which is not here; {REMEDY}")
