"""Tokens of one example."""

from equipoise.modelling.chat import Encoded, encode_many


def encode(tokenizer, prompt: str, response: str, max_length: int, chat: bool = True) -> Encoded:
    """As `encode_many` tokenises it."""
    return encode_many(tokenizer, [prompt], [response], max_length, chat)[0]
