"""What a later stage would refuse of a base is refused by check_base, in one line; a sound one has a manifest that says what it is."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from equipoise.checking import check_base as module
from equipoise.checking.check_base import check_base
from equipoise.config_file import parse_config
from equipoise.errors import UserError
from equipoise.store.manifest import SEAL, read_manifest
from helpers.families import FAMILIES, Family, tiny_model
from helpers.rows import WORDS


@pytest.fixture
def folder(tiny_base, tmp_path) -> Path:
    """A copy of the tiny base that may be damaged."""
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


@pytest.fixture
def check(folder, tiny_values):
    def run(**sections):
        values = tiny_values | {"model": tiny_values["model"] | {"base": str(folder)} | sections.pop("model", {})}
        config = parse_config(values | {name: values.get(name, {}) | change for name, change in sections.items()})
        check_base(config)
        return read_manifest(config.layout.base_manifest, "base")

    return run


def edit(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def change_weights(folder: Path, change) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


def in_parts(folder: Path) -> None:
    names = list(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    parts = {name: f"model-0000{1 + (name == names[0])}-of-00002.safetensors" for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": parts}))


def only_bin(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def as_encoder(folder: Path) -> None:
    from transformers import BertConfig, BertLMHeadModel

    size = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    BertLMHeadModel(BertConfig(vocab_size=size, **sizes)).save_pretrained(folder)


VOCABULARIES = ("model.embed_tokens.weight", "lm_head.weight")
NAME = "model.layers.0.mlp.up_proj.weight"
DAMAGED = {
    "an encoder with a decoder": (lambda f: edit(f, model_type="t5", is_encoder_decoder=True), "is t5, an encoder with a decoder"),
    "no language model": (lambda f: edit(f, model_type="vit"), "is vit, which is no causal language model"),
    "an encoder": (as_encoder, "in BertLMHeadModel tokens see later ones"),
    "code of its own": (lambda f: edit(f, model_type="mine", auto_map={"AutoConfig": "mine.Config"}), "'mine' needs code of its own"),
    "quantised": (lambda f: edit(f, quantization_config={"quant_method": "gptq", "bits": 4}), "is quantised"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "a broken configuration": (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    "a missing tensor": (lambda f: change_weights(f, lambda t: t.pop(NAME)), f"lacks tensors: {NAME}"),
    "an extra tensor": (
        lambda f: change_weights(f, lambda t: t.update({"model.more": torch.ones(2)})),
        "holds besides its model's tensors",
    ),
    "a tensor of another shape": (lambda f: change_weights(f, lambda t: t.update({NAME: t[NAME][:-1].clone()})), NAME),
    "another number of layers": (lambda f: edit(f, num_hidden_layers=3), "lacks tensors: model.layers.2"),
    "a missing part": (in_parts, "model-00002-of-00002.safetensors is missing"),
    "a cut file": (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:500]), "cannot be loaded"),
    "no safetensors": (only_bin, "only pytorch_model.bin; load it and save it"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no weights; copy them"),
    "an adapter beside it": (lambda f: (f / "adapter_config.json").write_text("{}"), "holds an adapter"),
    "an adapter alone": (lambda f: (f / "config.json").rename(f / "adapter_config.json"), "holds an adapter, no base"),
    "a number that is none": (lambda f: change_weights(f, lambda t: t[NAME].fill_(float("nan"))), "loss of a plain sentence is nan"),
    "no tokenizer": (without_tokenizer, "has no tokenizer"),
    "a broken tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "the tokenizer of .* cannot be read"),
    "fewer embeddings than tokens": (
        lambda f: (edit(f, vocab_size=12), change_weights(f, lambda t: t.update({n: t[n][:12].clone() for n in VOCABULARIES}))),
        "its embeddings have 12 rows",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_base_that_cannot_serve_is_refused_in_one_line(folder, check, damage):
    change, said = DAMAGED[damage]
    change(folder)
    with pytest.raises(UserError, match=said) as error:
        check()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"model": {"max_length": 16384}}, "model.max_length: 16384, but .* positions for 8192 tokens; write at most 8192"),
        ({"lora": {"target_modules": ["q_proj", "c_attn"]}}, "no linear map 'c_attn'"),
    ],
)
def test_a_configuration_that_does_not_suit_the_base_is_refused(check, sections, said):
    with pytest.raises(UserError, match=said):
        check(**sections)


def test_attention_that_an_architecture_does_not_have_is_refused_and_auto_takes_what_it_has(folder, check):
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    tiny_model(FAMILIES["gemma2"]._replace(values=FAMILIES["gemma2"].values | {"head_dim": 8}), vocabulary=vocabulary).save_pretrained(
        folder
    )
    assert check()["attention"] == "eager"
    with pytest.raises(UserError, match=r"model.attention: gemma2 has no sdpa; write auto"):
        check(model={"attention": "sdpa"})


def test_the_manifest_says_what_gets_an_adapter(check):
    sound = check()
    assert sound["adapted"] == {f"model.layers.*.self_attn.{name}_proj": 2 for name in "kqvo"}
    assert (sound["model"], sound["attention"], sound["positions"], sound["tried"]) == ("LlamaForCausalLM", "sdpa", 8192, True)
    assert check(lora={"target_modules": "all-linear"})["adapted"].keys() - sound["adapted"].keys() == {
        f"model.layers.*.mlp.{name}_proj" for name in ("gate", "up", "down")
    }


def test_a_tokenizer_model_alone_is_enough_with_sentencepiece(folder, check, tmp_path):
    import sentencepiece

    without_tokenizer(folder)
    (tmp_path / "text").write_text("\n".join(" ".join(WORDS[i : i + 4]) for i in range(20)))
    sizes = {"vocab_size": 50, "model_type": "bpe", "unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1, "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(folder / "tokenizer"), hard_vocab_limit=False, **sizes
    )
    names = {"tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    assert check()["tried"]


def test_a_large_base_is_looked_at_without_its_weights(folder, check, monkeypatch):
    sound = check()
    monkeypatch.setattr(module, "SMALL", 0)
    untried = check()
    assert untried | {"tried": True, SEAL: sound[SEAL]} == sound
    change_weights(folder, lambda tensors: tensors.pop(NAME))
    with pytest.raises(UserError, match=f"lacks tensors: {NAME}"):
        check()


def test_validation_examples_beyond_a_table_of_positions_are_refused_and_others_warned_of(folder, check, capsys):
    check(targets={"max_length": 16384})
    assert "WARNING: targets.max_length: 16384, but " in capsys.readouterr().err
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    tiny_model(FAMILIES["gpt2"], vocabulary=vocabulary).save_pretrained(folder)
    check(targets={"max_length": 64})
    with pytest.raises(UserError, match=r"targets.max_length: 65, but .* has positions for 64 tokens; write at most 64"):
        check(targets={"max_length": 65})


def test_what_an_architectures_own_code_refuses_is_one_line_too(folder, check):
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "afn": "gelu"}
    tiny_model(Family("openai-gpt", sizes), vocabulary=vocabulary).save_pretrained(folder)
    with pytest.raises(UserError, match="OpenAIGPTLMHeadModel ") as error:
        check()
    assert "\n" not in str(error.value)


def test_what_a_large_base_reads_without_a_call_is_left_out_too(folder, check, monkeypatch):
    monkeypatch.setattr(module, "SMALL", 0)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    tiny_model(FAMILIES["mamba"], vocabulary=vocabulary).save_pretrained(folder)
    assert check()["adapted"] == {"backbone.layers.*.mixer.in_proj": 2, "backbone.layers.*.mixer.x_proj": 2}
