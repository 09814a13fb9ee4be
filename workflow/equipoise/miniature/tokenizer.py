"""The base's word-level tokenizer: words between spaces, digits apart, the newline a word of its own."""

from typing import TYPE_CHECKING

from equipoise.miniature.stream import ASSISTANT, END, PAD, UNKNOWN, USER, vocabulary
from equipoise.modelling.template import CHAT_TEMPLATE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def build_tokenizer() -> "PreTrainedTokenizerFast":
    """The tokenizer, whose vocabulary is fixed before pretraining: embeddings added later start nearly identical and stay so."""
    from tokenizers import AddedToken, Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Digits, Sequence, Split
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(vocabulary())}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = Sequence([Split(Regex(" +"), "removed"), Split("\n", "isolated"), Digits(individual_digits=True)])
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in (PAD, UNKNOWN, USER, ASSISTANT, END)])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, unk_token=UNKNOWN, eos_token=END, clean_up_tokenization_spaces=False
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped
