"""One batch in, projected per-example gradients out: forward pass, loss at the labels alone, backward pass.

Sequences are padded on the right, so under causal attention no real token sees padding and no mask is needed; the gradient at
padding is zero. The loss of an example is the mean cross-entropy over its own completion tokens; logits and the gradient of the
last hidden states are computed for the positions that carry a label, a slice at a time, outside the autograd graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from equipoise.errors import UserError
from equipoise.gradients.capture import Capture
from equipoise.gradients.rows import RowMaker
from equipoise.modelling.chat import Encoded

if TYPE_CHECKING:
    import numpy as np
    from peft import PeftModel

LOGIT_NUMBERS = {"cpu": 1 << 22, "cuda": 1 << 27}


@dataclass(frozen=True)
class BatchResult:
    """Of the n examples of a batch: projected gradients float64 [n, k], loss float32 [n], states float32 [n, hidden] by kind."""

    gradients: "np.ndarray"
    loss: "np.ndarray"
    states: dict[str, "np.ndarray"]


class Engine:
    """Runs batches through a model with a LoRA adapter."""

    def __init__(self, model: "PeftModel", activation_checkpointing: bool = False):
        """Raises `UserError` for adapters and output layers that are not supported."""
        self.model = model
        self.capture = Capture(model)
        causal = model.get_base_model()
        self._decoder = getattr(causal, causal.base_model_prefix)
        self._embed, self._head = causal.get_input_embeddings(), causal.get_output_embeddings()
        self.hidden_size = causal.config.get_text_config().hidden_size
        self.device = self._embed.weight.device
        self._refuse_other_heads(causal)
        if activation_checkpointing:
            _checkpoint_activations(causal)

    def _refuse_other_heads(self, causal: torch.nn.Module) -> None:
        """Refuses models whose logits are not one linear map of the last hidden states, by trying four tokens."""
        with torch.no_grad():
            ids = torch.arange(4, device=self.device)[None] % self._embed.num_embeddings
            expected = causal(input_ids=ids, use_cache=False).logits.float()
            ours = self._logits(self._hidden(ids)).float()
        if not expected.isfinite().all():
            where = [f"non-finite weights in {name}" for name, weights in causal.named_parameters() if not weights.isfinite().all()]
            raise UserError(f"model.base: the logits are not finite ({where[0] if where else 'write gradients.precision: fp32'})")
        if not torch.allclose(ours, expected, rtol=1e-3, atol=1e-3):
            raise UserError(f"model.base: the output layer of {type(causal).__name__} is more than a linear map, which is not supported")

    def run(self, examples: Sequence[Encoded], maker: RowMaker, states: Sequence[str] = ()) -> BatchResult:
        """Gradients of examples (each with a completion token) as `maker` makes them, their losses and, if asked for, states."""
        ids, place, labels, weights = (tensor.to(self.device, non_blocking=True) for tensor in _lay_out(examples))
        maker.start(len(examples), self.device)
        self.capture.sink = maker.take
        with self.capture.active(), torch.enable_grad():
            hidden = self._hidden(ids)
            token_loss, gradient = self._loss(hidden.detach(), place, labels, weights)
            torch.autograd.backward(hidden, gradient)
        loss = torch.zeros(len(examples), dtype=torch.float64, device=self.device)
        loss.index_add_(0, place // ids.shape[1], token_loss.double() * weights.double())
        kept = _states(hidden.detach(), [len(example.input_ids) for example in examples], states)
        return BatchResult(maker.finish(), loss.float().cpu().numpy(), {kind: value.cpu().numpy() for kind, value in kept.items()})

    def _hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """Last hidden states [n, t, hidden] of tokens [n, t]; the graph starts behind the embedding."""
        embedded = self._embed(ids).detach()
        return self._decoder(inputs_embeds=embedded, use_cache=False).last_hidden_state

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return F.linear(hidden, self._head.weight, self._head.bias)

    def _loss(
        self, hidden: torch.Tensor, place: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of each labelled position, float32 [m], and the gradient of their weighted sum by `hidden`, shaped as it."""
        gradient = torch.zeros_like(hidden)
        flat, flat_gradient = hidden.view(-1, hidden.shape[-1]), gradient.view(-1, hidden.shape[-1])
        losses = torch.empty(len(place), dtype=torch.float32, device=hidden.device)
        step = max(1, LOGIT_NUMBERS[hidden.device.type] // self._head.weight.shape[0])
        with torch.no_grad():
            for start in range(0, len(place), step):
                part = slice(start, start + step)
                logits = self._logits(flat[place[part]]).float()
                total = logits.logsumexp(dim=1, keepdim=True)
                losses[part] = (total - logits.gather(1, labels[part, None])).squeeze(1)
                logits.sub_(total).exp_()
                logits.scatter_add_(1, labels[part, None], torch.full_like(total, -1.0))
                logits *= weights[part, None]
                flat_gradient[place[part]] = logits.to(hidden.dtype) @ self._head.weight
        return losses, gradient


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
    """Last-layer states, float32 [n, hidden]: of the last token, or the mean weighted by position 1, 2, ... (method: rds, rds_plus)."""
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


def _checkpoint_activations(causal: torch.nn.Module) -> None:
    """Recomputes each decoder layer's activations in the backward pass. Only the layers' own flags say `training`: no dropout is on."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in causal.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise UserError(f"gradients.activation_checkpointing: {type(causal).__name__} does not support it; write false")
    for layer in layers:
        layer.gradient_checkpointing, layer.training = True, True
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
