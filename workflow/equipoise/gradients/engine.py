"""One batch in, projected per-example gradients out: forward pass, loss at the labels alone, backward pass.

Sequences are padded on the right, so under causal attention no real token sees padding and no mask is needed; the gradient at
padding is zero. The loss of an example is the mean cross-entropy over its own completion tokens; logits and the gradient of the
last hidden states are computed for the positions that carry a label, a slice at a time, outside the autograd graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from equipoise.gradients.capture import Capture
from equipoise.gradients.head import Head
from equipoise.gradients.rows import RowMaker
from equipoise.modelling.chat import Encoded
from equipoise.modelling.targets import decoder_layers

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

LOGIT_NUMBERS = {"cpu": 1 << 22, "cuda": 1 << 27}


@dataclass(frozen=True)
class BatchResult:
    """Of the n examples of a batch: projected gradients float64 [n, k], loss float32 [n], states float32 [n, hidden] by kind."""

    gradients: np.ndarray
    loss: np.ndarray
    states: dict[str, np.ndarray]


class Engine:
    """Runs batches through a model with a LoRA adapter."""

    def __init__(self, model: "PeftModel", activation_checkpointing: bool = False):
        """Raises `UserError` for adapters and models that are not supported, found by a pass over a few tokens."""
        self.model = model
        self.capture = Capture(model)
        causal = model.get_base_model()
        self.device = causal.get_input_embeddings().weight.device
        self.head = Head(causal, self.capture, self._trial_ids(causal))
        self.hidden_size = self.head.width
        if activation_checkpointing:
            _checkpoint_activations(causal)

    def _trial_ids(self, causal: torch.nn.Module) -> torch.Tensor:
        return torch.arange(8, device=self.device).view(2, 4) % causal.get_input_embeddings().num_embeddings

    def run(
        self, examples: Sequence[Encoded], maker: RowMaker | None, states: Sequence[str] = (), draws: Sequence[np.ndarray] | None = None
    ) -> BatchResult:
        """Gradients of examples (each with a completion token) as `maker` makes them, their losses and, if asked for, states.

        Without a maker there is no backward pass, and gradients have the width 0.
        draws: of every example, a number in [0, 1) for each of its T completion tokens, float64 [T]. With them labels are drawn from the
        model, and a gradient is the sum over the tokens times T^(-1/2) instead of their mean.
        """
        if self.capture.routed and len(examples) > 1:
            parts = [None] * len(examples) if draws is None else [[each] for each in draws]
            return joined([self.run([example], maker, states, part) for example, part in zip(examples, parts, strict=True)])
        ids, place, labels, weights = _lay_out(examples)
        ids = ids.to(self.device, non_blocking=True)
        if maker is None:
            return self._forward(examples, ids, place, labels, weights, states)
        maker.start(len(examples), self.device)
        self.capture.start(len(examples), maker.take)
        with self.capture.active(), torch.enable_grad():
            hidden = self.head.decoder(input_ids=ids, use_cache=False)[0]
            place, labels, weights = (tensor.to(hidden.device, non_blocking=True) for tensor in (place, labels, weights))
            if draws is not None:
                labels, weights = self._drawn(hidden.detach(), place, np.concatenate(draws)), weights.sqrt()
            token_loss, gradient = self._loss(hidden.detach(), place, labels, weights)
            torch.autograd.backward(hidden, gradient)
        self.capture.finish()
        loss = _means(token_loss, place // ids.shape[1], weights, len(examples))
        return _result(examples, maker.finish(loss.cpu().numpy()), loss, hidden.detach(), states)

    def _forward(
        self,
        examples: Sequence[Encoded],
        ids: torch.Tensor,
        place: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor,
        states: Sequence[str],
    ) -> BatchResult:
        self.capture.start(len(examples), lambda *_: None)
        with self.capture.active(), torch.no_grad():  # the same sums as with gradients, and so the same states
            hidden = self.head.decoder(input_ids=ids, use_cache=False)[0]
            place, labels, weights = (tensor.to(hidden.device, non_blocking=True) for tensor in (place, labels, weights))
            token_loss, _ = self._loss(hidden, place, labels, weights)
        loss = _means(token_loss, place // ids.shape[1], weights, len(examples))
        return _result(examples, np.zeros((len(examples), 0)), loss, hidden, states)

    def _loss(
        self, hidden: torch.Tensor, place: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of each labelled position, float32 [m], and the gradient of their weighted sum by `hidden`, shaped as it."""
        hidden = hidden.contiguous()
        gradient = torch.zeros_like(hidden)
        flat, flat_gradient = hidden.view(-1, hidden.shape[-1]), gradient.view(-1, hidden.shape[-1])
        losses = torch.empty(len(place), dtype=torch.float32, device=hidden.device)
        step = max(1, LOGIT_NUMBERS[hidden.device.type] // self.head.vocabulary)
        with torch.no_grad():
            for start in range(0, len(place), step):
                part = slice(start, start + step)
                losses[part], flat_gradient[place[part]] = self.head.loss(flat[place[part]], labels[part], weights[part])
        return losses, gradient

    def _drawn(self, hidden: torch.Tensor, place: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Labels drawn from the model at the positions `place`, int64 [m], by numbers in [0, 1), float64 [m]."""
        flat = hidden.contiguous().view(-1, hidden.shape[-1])
        at = torch.from_numpy(draws).to(hidden.device)
        step = max(1, LOGIT_NUMBERS[hidden.device.type] // (4 * self.head.vocabulary))
        parts = [slice(start, start + step) for start in range(0, len(place), step)]
        with torch.no_grad():
            return torch.cat([self.head.draw(flat[place[part]], at[part]) for part in parts])


def _means(token_loss: torch.Tensor, example: torch.Tensor, weights: torch.Tensor, count: int) -> torch.Tensor:
    """Weighted sums of the tokens' losses by example, float64 [count]."""
    loss = torch.zeros(count, dtype=torch.float64, device=token_loss.device)
    return loss.index_add_(0, example, token_loss.double() * weights.double())


def _result(
    examples: Sequence[Encoded], gradients: np.ndarray, loss: torch.Tensor, hidden: torch.Tensor, states: Sequence[str]
) -> BatchResult:
    kept = _states(hidden, [len(example.input_ids) for example in examples], states)
    return BatchResult(gradients, loss.float().cpu().numpy(), {kind: value.cpu().numpy() for kind, value in kept.items()})


def joined(parts: Sequence[BatchResult]) -> BatchResult:
    """The results of parts of a batch, in order, as one."""
    return BatchResult(
        np.concatenate([part.gradients for part in parts]),
        np.concatenate([part.loss for part in parts]),
        {kind: np.concatenate([part.states[kind] for part in parts]) for kind in parts[0].states},
    )


def _lay_out(examples: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens int64 [n, longest] padded with 0; for every labelled position its flat place, its label and one over its example's count."""
    longest = max(len(example.input_ids) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.int64)
    place, labels, weights = [], [], []
    for row, example in enumerate(examples):
        tokens = example.input_ids
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labelled = example.labelled
        place += [row * longest + position - 1 for position in labelled]
        labels += [tokens[position] for position in labelled]
        weights += [1.0 / len(labelled)] * len(labelled)
    return ids, torch.tensor(place), torch.tensor(labels), torch.tensor(weights, dtype=torch.float32)


def _states(hidden: torch.Tensor, lengths: list[int], kinds: Sequence[str]) -> dict[str, torch.Tensor]:
    """Last-layer states, float32 [n, hidden]: of the last token, or the mean weighted by position 1, 2, ... (method.md, "States")."""
    states = {}
    length = torch.tensor(lengths, device=hidden.device)
    if "last_token" in kinds:
        states["last_token"] = hidden[torch.arange(len(lengths), device=hidden.device), length - 1].float()
    if "position_weighted" in kinds:
        position = torch.arange(1, hidden.shape[1] + 1, device=hidden.device)[None].expand(len(lengths), -1)
        weight = torch.where(position <= length[:, None], position, 0).float()
        weight /= weight.sum(dim=1, keepdim=True)
        states["position_weighted"] = torch.bmm(weight[:, None], hidden.float()).squeeze(1)
    return states


def _checkpoint_activations(causal: "PreTrainedModel") -> None:
    """Recomputes each decoder layer's activations in the backward pass.

    Not by the layers' own switch: that works in training mode alone, in which some layers drop numbers.
    """
    for layer in decoder_layers(causal).values():
        layer.forward = partial(_recomputed, layer.forward)


def _recomputed(forward: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return checkpoint(forward, *arguments, use_reentrant=False, **named)
