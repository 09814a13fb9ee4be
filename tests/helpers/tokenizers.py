"""Tokenizers of every kind that bases have, made here, and those of the shared hub where it is; each with its control tokens."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from helpers.places import REPOSITORY

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HUB = REPOSITORY.parent / "shared" / "hub" / "models"
LETTERS = [chr(code) for code in range(32, 127)]
TEXT = [
    "What is the capital of France? The capital of France is Paris.",
    "Question: how many apples are left?\nAnswer: there are 12 left, of 30.",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z A B C D E F G H I J K L M N O P Q R S T U V W X Y Z 0 1 2 3 4 5 6 7 8 9",
    "user assistant system first second third fourth answers are short; use them (all of them), please: yes/no",
] * 4
LLAMA_3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def _wrapped(tokenizer: Tokenizer, special: list[str], bos: str | None, eos: str, plain: tuple[str, ...] = (), **named):
    from transformers import PreTrainedTokenizerFast

    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in plain])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, **named)


def _bytes(prefix_space: bool = False, before: list | None = None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=before is None)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*before, level]) if before else level
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def _metaspace(scheme: str | None) -> Tokenizer:
    """Llama's and Mistral's: BPE with bytes for what it does not know. scheme: Metaspace's; none: the older normalizer instead."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    spaces = pre_tokenizers.Metaspace(prepend_scheme=scheme or "never", split=False)
    tokenizer.pre_tokenizer = spaces
    alphabet = [*LETTERS, "\u2581"]
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=560, initial_alphabet=alphabet, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([word for text in TEXT for word in text.replace(" ", " \u2581").split(" ")], trainer)
    made = Tokenizer(tokenizer.model)
    if scheme is None:
        made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    else:
        made.pre_tokenizer = spaces
    strip = decoders.Strip(content=" ", left=1)
    made.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), strip])
    return made


def gpt_2():
    return _wrapped(_bytes(), ["<|endoftext|>"], "<|endoftext|>", "<|endoftext|>", unk_token="<|endoftext|>")


def chatml():
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return _wrapped(_bytes(), special, None, "<|im_end|>", ("<think>", "</think>", "<tool_call>"), pad_token="<|endoftext|>")


def prefix_space():
    return _wrapped(_bytes(prefix_space=True), ["<s>", "</s>"], "<s>", "</s>")


def llama_3():
    tokenizer = _bytes(before=[pre_tokenizers.Split(Regex(LLAMA_3), "isolated")])
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    made = _wrapped(tokenizer, names, names[0], names[1])
    bos = (names[0], made.convert_tokens_to_ids(names[0]))
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(single=f"{names[0]} $A", special_tokens=[bos])
    return made


def mistral():
    return _wrapped(_metaspace("first"), ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], "<s>", "</s>", unk_token="<unk>")


def llama_2():
    return _wrapped(_metaspace(None), ["<unk>", "<s>", "</s>"], "<s>", "</s>", unk_token="<unk>", pad_token="<unk>")


def always():
    return _wrapped(_metaspace("always"), ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"], "<s>", "</s>", unk_token="<unk>")


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=special, unk_token="<unk>", initial_alphabet=[*LETTERS, "\n"], show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return _wrapped(tokenizer, special, "<s>", "</s>", unk_token="<unk>")


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(
        TEXT, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, initial_alphabet=LETTERS, show_progress=False)
    )
    return _wrapped(tokenizer, special, "[CLS]", "[SEP]", unk_token="[UNK]", pad_token="[PAD]")


def words():
    names = ["<pad>", "<unk>", "<s>", "</s>"]
    known = sorted({word for text in TEXT for word in text.split()} | {"<|user|>", "<|assistant|>"})
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*names, *known])}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return _wrapped(tokenizer, names, "<s>", "</s>", unk_token="<unk>", pad_token="<pad>")


def sentencepiece_file():
    """A tokenizer.model as sentencepiece itself trains it, read as a Llama's."""
    import tempfile

    import sentencepiece
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text("\n".join(TEXT), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=f"{folder}/tokenizer", vocab_size=420, model_type="bpe", byte_fallback=True, minloglevel=2
        )
        (Path(folder) / "tokenizer_config.json").write_text(
            '{"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "legacy": false}'
        )
        return AutoTokenizer.from_pretrained(folder)


MADE: dict[str, Callable[[], "PreTrainedTokenizerBase"]] = {
    made.__name__: functools.cache(made)
    for made in (
        *(gpt_2, chatml, prefix_space, llama_3, mistral, llama_2, always, unigram, word_piece, words),
        sentencepiece_file,
    )
}


def hub(name: str) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(HUB / name)
