"""Stage check_base: the base and its tokenizer are tried with all that later stages do to them, before anything is paid for.

A base of at most `SMALL` bytes of weights is loaded, on the CPU, and goes through a step of training, the gradients of an example (held
to autograd's) and an answer (held to `generate`'s). A larger one is built without its weights, and its adapter attached.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from equipoise.config import Experiment
from equipoise.determinants import determinants
from equipoise.errors import UserError, first_line
from equipoise.modelling.adapter import WRAPPED, adapted_names, attach_adapter, lora_parameters
from equipoise.modelling.base import base_folder, base_identity, load_base, load_tokenizer, own_template, positions_for
from equipoise.modelling.base_files import read_architecture, weight_files
from equipoise.modelling.chat import Encoded, encode_many
from equipoise.modelling.targets import patterns
from equipoise.progress import log
from equipoise.store.artefact import publish
from equipoise.store.manifest import fingerprint

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SMALL = 1 << 29
AGREES = 0.99999
PROMPTS = ("How many days are there in a week?", "Write the word twice: yes.")
RESPONSES = ("There are seven days.", "yes yes")
NEW_TOKENS = 4
SEED = 0


def check_base(config: Experiment) -> None:
    """Writes the base's manifest: its class, its attention, what gets an adapter. Raises `UserError` for what later stages would refuse."""
    found = examine(config)
    content = {"config": determinants(config, "check_base"), "base": base_identity(config.model), "adapted": found["adapted"]}
    publish(config, "base", {}, **found, weights=content["base"], fingerprint=fingerprint(content))


def examine(config: Experiment) -> dict[str, Any]:
    """What there is to know of a base; logs it. Raises `UserError` for a base that cannot be trained, collected or evaluated."""
    folder = base_folder(config.model)
    read_architecture(folder, config.model.base)
    small = sum(path.stat().st_size for path in weight_files(folder, config.model.base)) <= SMALL
    positions = positions_for(config.model)
    tokenizer = load_tokenizer(config.model)
    if foreign := own_template(tokenizer):
        log(
            f"WARNING: {config.model.base} has a chat template of its own, and model.chat_template is paper: the base does not know its "
            "turns, and its zero-shot answers may be without form and end; write own, unless you mean it"
        )
    base = load_base(config.model, "fp32", "cpu" if small else "meta")
    _refuse_larger_vocabulary(tokenizer, base)
    _refuse_longer_targets(config, base, positions)
    with _in_one_line(base):
        if small:
            _refuse_looking_ahead(base)
        model = attach_adapter(base, config.lora, SEED)
        if small:
            _try(config, model, tokenizer)
    names = sorted(adapted_names(lora_parameters(model)))
    found = {
        "model": type(base).__name__,
        "attention": base.config._attn_implementation,
        "adapted": patterns(name.removeprefix(WRAPPED) for name in names),
        "adapter_parameters": sum(parameter.numel() for parameter in lora_parameters(model).values()),
        "positions": positions,
        "foreign_template": foreign is not None,
        "tried": small,
    }
    log(f"base: {found['model']}, attention {found['attention']}, {found['adapter_parameters']:,} adapter parameters")
    return found


def _refuse_larger_vocabulary(tokenizer: "PreTrainedTokenizerBase", base: "PreTrainedModel") -> None:
    rows = base.get_input_embeddings().weight.shape[0]
    token, largest = max(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    if largest >= rows:
        raise UserError(
            f"model.base: its tokenizer has token {largest} ({token!r}), but its embeddings have {rows} rows; copy tokenizer and weights "
            "from one place, or resize the embeddings and save them"
        )


def _refuse_longer_targets(config: Experiment, base: "PreTrainedModel", positions: int | None) -> None:
    """Validation examples beyond the base's positions: an error where these are a table, else outside of what it was trained on."""
    from torch.nn import Embedding

    longest, words = config.targets.longest(config.model), base.get_input_embeddings()
    if positions is None or longest <= positions:
        return
    said = f"targets.max_length: {longest}, but {config.model.base} has positions for {positions} tokens"
    if any(
        isinstance(each, Embedding) and each is not words and positions <= each.num_embeddings <= positions + 2 for each in base.modules()
    ):
        raise UserError(f"{said}; write at most {positions}")
    log(f"WARNING: {said}; longer validation examples are beyond what it was trained on")


@contextmanager
def _in_one_line(base: "PreTrainedModel") -> Iterator[None]:
    """Whatever an architecture's own code says when it is used in a way that it does not allow for."""
    import torch

    try:
        yield
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ImportError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise UserError(f"model.base: {type(base).__name__} does not work here: {type(error).__name__}: {first_line(error)}") from error


def _refuse_looking_ahead(base: "PreTrainedModel") -> None:
    """Raises for a model in which a token sees later ones: an encoder, or a decoder configured as one."""
    import torch

    ids = torch.arange(6, device=base.device)[None] % base.get_input_embeddings().num_embeddings
    other = ids.clone()
    other[0, -1] = 0
    with torch.no_grad():
        before, after = (base(input_ids=tokens, use_cache=False).logits[0, :-1].float() for tokens in (ids, other))
    if (before - after).abs().max() > 1e-3 * before.abs().max():
        raise UserError(f"model.base: in {type(base).__name__} tokens see later ones; name a causal language model, such as a Llama")


def _try(config: Experiment, model: "PeftModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    examples = encode_many(tokenizer, PROMPTS, RESPONSES, config.model.max_length)
    if not all(example.completion_tokens for example in examples):
        examples = [Encoded(example.input_ids, 1) for example in examples]
    _train(config, model, examples)
    _collect(config, model, examples)
    _answer(model, tokenizer)


def _train(config: Experiment, model: "PeftModel", examples: list[Encoded]) -> None:
    """A forward and backward pass as in training; the adapter's B, zero at first, is then given numbers."""
    import torch

    from equipoise.modelling.chat import pad
    from equipoise.training.batch_trainer import example_loss

    batch = {name: tensor.to(model.device) for name, tensor in pad(examples, 0).items()}
    labels = batch.pop("labels")
    model.train()
    loss = example_loss(model(**batch, use_cache=False), labels, torch.tensor(len(examples)))
    loss.backward()
    if not loss.isfinite():
        raise UserError(f"model.base: the loss of a plain sentence is {loss.item()}; is {config.model.base} whole?")
    generator = torch.Generator().manual_seed(SEED)
    for name, parameter in lora_parameters(model).items():
        if ".lora_B." in name:
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
        parameter.grad = None
    model.eval()


def _collect(config: Experiment, model: "PeftModel", examples: list[Encoded]) -> None:
    import numpy as np

    from equipoise.gradients.engine import Engine
    from equipoise.gradients.estimator import autograd_gradients
    from equipoise.gradients.projection import Identity
    from equipoise.gradients.rows import LoraRows

    engine = Engine(model, config.gradients.activation_checkpointing)
    sizes = {name: rows * columns for name, (rows, columns) in engine.capture.shapes.items()}
    for row, example in zip(engine.run(examples, LoraRows(Identity(sizes))).gradients, examples, strict=True):
        gradients, _ = autograd_gradients(model, example, lora_parameters(model))
        expected = np.concatenate([gradient.double().cpu().numpy().ravel() for gradient in gradients.values()])
        cosine = row @ expected / (np.linalg.norm(row) * np.linalg.norm(expected))
        if not cosine >= AGREES:
            kind = type(model.get_base_model()).__name__
            raise UserError(f"model.base: gradients of {kind} differ from autograd's (cosine {cosine:.6f}), so it is not supported")


def _answer(model: "PeftModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    import torch

    from equipoise.evaluation.decoding import decode

    prompts = [example.input_ids[: example.prompt_length] for example in encode_many(tokenizer, PROMPTS, RESPONSES, 64)]
    longest = max(map(len, prompts))
    pad = tokenizer.pad_token_id
    context = torch.tensor([[pad] * (longest - len(ids)) + ids for ids in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts], device=model.device)
    settings = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "pad_token_id": pad, "eos_token_id": tokenizer.eos_token_id}
    expected = model.generate(input_ids=context, attention_mask=mask, **settings)
    found = decode(model, context, mask, longest + NEW_TOKENS, tokenizer.eos_token_id, pad, lambda rows: [False] * len(rows))
    if not torch.equal(found[:, : expected.shape[1]], expected):
        kind = type(model.get_base_model()).__name__
        raise UserError(f"model.base: answers of {kind} differ from those of `generate`, so it is not supported")
