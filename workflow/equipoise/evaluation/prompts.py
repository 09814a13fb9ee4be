"""What lm-eval is given to ask, and its tokens: those that training sees of the same texts; and where its answers end."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from equipoise.harness.documents import History, as_one_turn
from equipoise.harness.usable import DEFAULT_ANSWER
from equipoise.modelling.chat import bare_pairs
from equipoise.modelling.template import template_of
from equipoise.modelling.tokens import Piece, encoder_of

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from transformers import PreTrainedTokenizerBase


class Prompts:
    """Remembers which texts a chat template rendered: in all others, what looks like a control token is a text.

    generation: the base's generation config, whose end tokens end an answer as the tokenizer's and the template's do. think_end: the text
    that ends a section of thinking, which is no part of the answer.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", generation: Any = None, think_end: str | None = None):
        self._tokenizer = tokenizer
        self._rendered: dict[str, Piece] = {}
        named = getattr(generation, "eos_token_id", None)
        written = template_of(tokenizer).end
        self.ends = frozenset([*([named] if isinstance(named, int) else named or []), *tokenizer.convert_tokens_to_ids([written])])
        self.ends |= {tokenizer.eos_token_id}
        self.think_end = think_end
        self.cut: set[tuple[str, int]] = set()
        """lm-eval task and document of every prompt that was longer than the context."""

    def look(self, requests: Iterable["Instance"], longest: int) -> None:
        """Notes requests whose prompt has more than `longest` tokens, the answer's included, and so loses its beginning."""
        for request in requests:
            context, rest = request.args
            room = longest - int(rest.get("max_gen_toks", DEFAULT_ANSWER)) if isinstance(rest, dict) else longest
            if len(context.encode()) + (0 if isinstance(rest, dict) else len(rest.encode())) + 2 <= room:
                continue  # no token is less than a byte; BOS and a leading piece come with them
            tokens = len(self.tokens(context)) if isinstance(rest, dict) else sum(map(len, self.pair(context, rest)))
            if tokens > room:
                self.cut.add((request.task_name, request.doc_id))

    def whole_answer(self, ids: Sequence[int]) -> str:
        """The text of an answer's tokens: `answer`, or all of it where no thinking ends."""
        text = self.answer(ids)
        return text if text is not None else self._tokenizer.decode(self._until_end(ids), skip_special_tokens=True)

    def _until_end(self, ids: Sequence[int]) -> list[int]:
        return list(ids[: next((place for place, token in enumerate(ids) if token in self.ends), len(ids))])

    def answer(self, ids: Sequence[int]) -> str | None:
        """The text of an answer's tokens, up to its end and without its thinking; none where no thinking has ended."""
        kept = self._until_end(ids)
        if self.think_end is None:
            return self._tokenizer.decode(kept, skip_special_tokens=True)
        mark = self._tokenizer.added_tokens_encoder.get(self.think_end)
        if mark in kept:
            last = len(kept) - kept[::-1].index(mark)
            return self._tokenizer.decode(kept[last:], skip_special_tokens=True).lstrip()
        _, found, rest = self._tokenizer.decode(kept, skip_special_tokens=True).rpartition(self.think_end)
        return rest.lstrip() if found else None

    def chat(self, history: History) -> str:
        """A chat history under the template, as one turn of the user, and the answer begun."""
        question, begun = as_one_turn(history)
        encoder = encoder_of(self._tokenizer)
        piece = template_of(self._tokenizer).prompt(question) + encoder.bare(begun)
        text = encoder.unmarked(piece)
        self._rendered[text] = piece
        return text

    def tokens(self, text: str, special: bool = True) -> list[int]:
        """Tokens of a text; with `special` BOS first where the tokenizer has one, but for what the template rendered, which says itself."""
        encoder, piece = encoder_of(self._tokenizer), self._rendered.get(text)
        bos = self._tokenizer.bos_token_id
        opening = [bos] if special and piece is None and bos is not None else []
        return opening + encoder.encode([piece or encoder.bare(text)])[0]

    def pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Tokens of a context and of what goes on from it."""
        piece = self._rendered.get(context)
        if piece is None:
            return bare_pairs(self._tokenizer, [(context, continuation)])[0]
        encoder = encoder_of(self._tokenizer)
        before = encoder.encode([piece])
        return before[0], encoder.go_on([encoder.bare(continuation)], [piece], before)[0]
