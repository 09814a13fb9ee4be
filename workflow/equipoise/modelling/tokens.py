"""Text to tokens: control tokens only where a template writes them, and no leading piece of the tokenizer where a text goes on."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from equipoise.errors import UserError, first_line

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase

MARKS = ("\U000f0000", "\U000f0001")
"""Around a control token that a user wrote, as transformers' `mark_control_tokens` puts them."""
ANCHORS = ("\n", "x:", "x\n")
"""Texts that tokenizers end a piece after."""


class UnfitText(UserError):
    """Text that a template or a tokenizer cannot take as it is; the message is the reason."""


@dataclass(frozen=True)
class Piece:
    """A text, or a part of a longer one. marked: control tokens in it that users wrote stand between `MARKS`.

    after: the control token that the part follows; empty at the start of a text, and where a part only goes on.
    """

    text: str
    marked: bool = False
    after: str = ""

    def __add__(self, other: "Piece") -> "Piece":
        return Piece(self.text + other.text, self.marked or other.marked, self.after)


class TextEncoder:
    """What one tokenizer makes of texts. Nothing is added to them: neither BOS nor an end."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase"):
        self._tokenizer = tokenizer

    def encode(self, pieces: Sequence[Piece]) -> list[list[int]]:
        """Tokens of pieces, each by itself. Raises `UnfitText` for a control token that the tokenizer makes from plain text too."""
        plain = iter(self._plain([piece.after + piece.text for piece in pieces if not piece.marked]))
        return [self._own_tokens(piece, self._marked(piece) if piece.marked else next(plain)) for piece in pieces]

    def lengths(self, pieces: Sequence[Piece]) -> list[int]:
        """How many tokens `encode` gives for each piece; those of pieces that follow nothing are counted without making lists of them."""
        listed = [piece.marked or piece.after != "" for piece in pieces]
        counted = iter(self._tokenised([piece.text for piece, each in zip(pieces, listed, strict=True) if not each]))
        others = iter(self.encode([piece for piece, each in zip(pieces, listed, strict=True) if each]))
        return [len(next(others if each else counted)) for each in listed]

    def go_on(self, pieces: Sequence[Piece], before: Sequence[Piece], before_tokens: Sequence[list[int]]) -> list[list[int]]:
        """Tokens of pieces that go on where those of `before` end, without the piece that the tokenizer puts before a text.

        As lm-eval's `_encode_pair` has them where it matters: the tokens of both together without the first's.
        """
        if not self.leads:
            return self.encode(pieces)
        found = []
        for piece, start, together in zip(
            pieces, before_tokens, self.encode([a + b for a, b in zip(before, pieces, strict=True)]), strict=True
        ):
            found.append(together[len(start) :] if together[: len(start)] == start else self._without_leading_piece(piece))
        return found

    @cached_property
    def leads(self) -> bool:
        """Whether the tokenizer puts something before a text that it does not put within one (Metaspace)."""
        alone = self._plain(["a"])[0]
        for anchor in ANCHORS:
            start, together = self._plain([anchor, f"{anchor}a"])
            rest = together[len(start) :]
            if rest and together[: len(start)] == start and rest != alone:
                return True
        return False

    @cached_property
    def special(self) -> tuple[str, ...]:
        """The tokenizer's control tokens."""
        added = [token.content for token in self._tokenizer.added_tokens_decoder.values() if token.special]
        return tuple(dict.fromkeys([*added, *self._tokenizer.all_special_tokens]))

    @cached_property
    def control(self) -> re.Pattern[str]:
        """Matches the tokenizer's control tokens."""
        return pattern(self.special)

    def bare(self, text: str) -> Piece:
        """A text of a user, as it is, outside of any template."""
        return Piece(mark(text, self.control), True) if self.control.search(text) else Piece(text)

    def unmarked(self, piece: Piece) -> str:
        """The piece's text as a reader sees it."""
        return re.sub(f"[{''.join(MARKS)}]", "", piece.text) if piece.marked else piece.text

    def _plain(self, texts: list[str]) -> list[list[int]]:
        """Tokens of texts."""
        return [found if isinstance(found, list) else found.ids for found in self._tokenised(texts)]

    def _tokenised(self, texts: list[str]) -> "list[list[int] | Encoding]":
        """Texts as the tokenizer has them. The first goes through transformers, which sets the tokenizer up; the others, where its class
        adds nothing to that, straight to the library behind it, without the offsets and masks that take a third of the time."""
        if not texts:
            return []
        if not self._straight:
            return self._tokenizer(texts, add_special_tokens=False).input_ids
        first = self._tokenizer(texts[:1], add_special_tokens=False).input_ids
        return [*first, *self._tokenizer.backend_tokenizer.encode_batch_fast(texts[1:], add_special_tokens=False)]

    @cached_property
    def _straight(self) -> bool:
        from transformers import PreTrainedTokenizerBase, TokenizersBackend

        kind = type(self._tokenizer)
        own = (getattr(kind, "_encode_plus", None), kind.__call__)
        return own == (TokenizersBackend._encode_plus, PreTrainedTokenizerBase.__call__)

    def _marked(self, piece: Piece) -> list[int]:
        from transformers.utils.chat_template_utils import encode_marked_chat

        try:
            return encode_marked_chat(self._tokenizer, piece.after + piece.text)
        except ValueError as error:
            raise UnfitText(f"a text holds a control token, which stays one: {first_line(error)}") from None

    def _own_tokens(self, piece: Piece, ids: list[int]) -> list[int]:
        """Tokens without the control token that was put before the piece, so that the tokenizer sees what the piece follows."""
        if not piece.after:
            return ids
        if ids[:1] == [self._tokenizer.convert_tokens_to_ids(piece.after)]:
            return ids[1:]
        return self.encode([replace(piece, after="")])[0]

    def _without_leading_piece(self, piece: Piece) -> list[int]:
        start, together = self.encode([Piece("\n"), Piece("\n") + piece])
        return together[len(start) :] if together[: len(start)] == start else self.encode([piece])[0]


def encoder_of(tokenizer: "PreTrainedTokenizerBase") -> TextEncoder:
    """The one encoder of a tokenizer, which remembers what it found out about it."""
    known = vars(tokenizer)
    if "equipoise_encoder" not in known:
        known["equipoise_encoder"] = TextEncoder(tokenizer)
    return known["equipoise_encoder"]


def pattern(tokens: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the tokens, the longest first, but for those between `MARKS`.

    Their first characters stand before all that is asked of a place: a text without them is searched some fifty times faster.
    """
    rests: dict[str, list[str]] = {}
    for token in sorted(filter(None, tokens), key=lambda token: (-len(token), token)):
        rests.setdefault(re.escape(token[0]), []).append(re.escape(token[1:]))
    return re.compile("|".join(f"{first}(?<!{MARKS[0]}{first})(?:{'|'.join(rest)})" for first, rest in rests.items()) or "(?!)")


def mark(value: Any, control: re.Pattern[str]) -> Any:
    """Texts in lists and dicts with marks around the control tokens in them. Raises `UnfitText` for texts that hold marks already."""
    from transformers.utils.chat_template_utils import mark_control_tokens

    if holds(value, re.compile(f"[{''.join(MARKS)}]")):
        raise UnfitText(f"a text holds U+{ord(MARKS[0]):X} or U+{ord(MARKS[1]):X} beside a control token, which they would mark")
    return mark_control_tokens(value, control)


def holds(value: Any, control: re.Pattern[str]) -> bool:
    """Whether a text in lists and dicts matches."""
    if isinstance(value, str):
        return control.search(value) is not None
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        if holds(part, control):
            return True
    return False
