"""An example as the model sees it: its tokens as text, those with a loss marked."""

import sys
from itertools import groupby
from typing import TYPE_CHECKING

from equipoise.errors import printable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from equipoise.modelling.chat import Encoded

MARKS = ("⟦", "⟧")
"""Around what is learned, where there are no colours."""


def parts(example: "Encoded", tokenizer: "PreTrainedTokenizerBase") -> list[tuple[str, bool]]:
    """The example's text in pieces, each with whether its tokens have a loss."""
    learned = set(example.labelled)
    runs = groupby(enumerate(example.input_ids), key=lambda entry: entry[0] in learned)
    return [(tokenizer.decode([token for _, token in run], skip_special_tokens=False), with_loss) for with_loss, run in runs]


def shown(example: "Encoded", tokenizer: "PreTrainedTokenizerBase") -> None:
    """Prints the example on standard output: what is learned in green on a terminal, between marks elsewhere."""
    from rich.console import Console
    from rich.text import Text

    coloured = sys.stdout.isatty()
    text = Text()
    for words, learned in parts(example, tokenizer):
        words = printable(words)
        text.append(words if coloured or not learned else f"{MARKS[0]}{words}{MARKS[1]}", style="green" if learned else "dim")
    Console(highlight=False, soft_wrap=True).print(text)
    print(f"({len(example.input_ids)} tokens, {example.completion_tokens} with a loss)\n")
