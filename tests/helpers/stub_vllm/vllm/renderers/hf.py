"""Chat templates."""


def resolve_chat_template(tokenizer, **_):
    """The tokenizer's own."""
    return tokenizer.chat_template
