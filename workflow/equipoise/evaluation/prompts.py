"""What lm-eval is given to ask, and its tokens: those that training sees of the same texts."""

from typing import TYPE_CHECKING

from equipoise.harness.documents import History, as_one_turn
from equipoise.modelling.chat import bare_pairs
from equipoise.modelling.template import template_of
from equipoise.modelling.tokens import Piece, encoder_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Prompts:
    """Remembers which texts a chat template rendered: in all others, what looks like a control token is a text."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase"):
        self._tokenizer = tokenizer
        self._rendered: dict[str, Piece] = {}

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
