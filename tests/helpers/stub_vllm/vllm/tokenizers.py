"""Tokenizers."""


def get_tokenizer(name, **_):
    """transformers' own."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name)
