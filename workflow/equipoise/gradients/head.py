"""From last hidden states to losses: the model's own output layer, found by running the model and not by its name.

A bare linear map has a fast path. Any other head (one that scales, caps or normalises the logits) is the model itself with its decoder
replaced by one that returns given states, differentiated by autograd.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from equipoise.errors import UserError
from equipoise.gradients.capture import Capture

LARGE_LOGIT = 1000.0
"""Scale at which the output layer is compared with a linear map: beyond any cap on logits."""


class Head:
    """The decoder and the output layer of a causal model. width: numbers in a hidden state; vocabulary: logits of a position."""

    def __init__(self, causal: PreTrainedModel, capture: Capture, ids: torch.Tensor):
        """ids: a few tokens, int64 [n, t]. Raises `UserError` for a model that is not a decoder with an output layer."""
        self._causal, self._linear = causal, causal.get_output_embeddings()
        capture.start(len(ids), lambda *_: None)
        with torch.no_grad(), capture.active():
            self.decoder, self._output, expected = _tried(causal, ids)
        capture.refuse_unseen(*ids.shape)
        hidden = self._output[0]
        self.width, self.vocabulary = hidden.shape[-1], expected.shape[-1]
        _refuse_non_finite(causal, expected)
        with torch.no_grad():
            if not _close(self._own(hidden), expected, hidden):
                raise UserError(f"model.base: the output layer of {type(causal).__name__} needs more than the last hidden states")
            self.is_linear = self._is_linear(hidden)

    def loss(self, hidden: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy at each of [m, width] states, float32 [m], and the gradient of their weighted sum by `hidden`."""
        if not self.is_linear:
            return self._loss_by_autograd(hidden, labels, weights)
        at, weight = hidden.device, self._linear.weight
        hidden, labels, weights = (each.to(weight.device) for each in (hidden, labels, weights))
        logits = F.linear(hidden, weight, self._linear.bias).float()
        total = logits.logsumexp(dim=1, keepdim=True)
        losses = (total - logits.gather(1, labels[:, None])).squeeze(1)
        logits.sub_(total).exp_()
        logits.scatter_add_(1, labels[:, None], torch.full_like(total, -1.0))
        logits *= weights[:, None]
        return losses.to(at), (logits.to(hidden.dtype) @ weight).to(at)

    def draw(self, hidden: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """A token drawn from the model's distribution at each of [m, width] states, int64 [m]; at: float64 [m], in [0, 1)."""
        logits = self._product(hidden) if self.is_linear else self._own(hidden[None])[0]
        cumulative = torch.softmax(logits.double(), dim=1).cumsum(dim=1)
        return torch.searchsorted(cumulative, (at * cumulative[:, -1])[:, None], right=True).squeeze(1).clamp_(max=self.vocabulary - 1)

    def _product(self, hidden: torch.Tensor) -> torch.Tensor:
        """The output layer as a linear map, which may lie on another device than the states."""
        weight, bias = self._linear.weight, getattr(self._linear, "bias", None)
        return F.linear(hidden.to(weight.device), weight, bias).to(hidden.device)

    def _loss_by_autograd(self, hidden: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.enable_grad():
            leaf = hidden.detach().requires_grad_(True)
            losses = F.cross_entropy(self._own(leaf[None])[0], labels, reduction="none")
            (gradient,) = torch.autograd.grad((losses * weights).sum(), leaf)
        return losses.detach(), gradient

    def _own(self, hidden: torch.Tensor) -> torch.Tensor:
        """The model's own logits, float32 [n, t, vocabulary], of states [n, t, width]."""
        given = copy.copy(self._output)
        given[next(iter(given))] = hidden
        with _replaced(self.decoder, given):
            return self._causal(input_ids=hidden.new_zeros(hidden.shape[:2], dtype=torch.int64), use_cache=False).logits.float()

    def _is_linear(self, hidden: torch.Tensor) -> bool:
        if self._linear is None or getattr(self._linear, "weight", torch.empty(0)).shape != (self.vocabulary, self.width):
            return False
        largest = self._product(hidden).abs().max().float().clamp(min=1e-6)
        return all(
            _close(self._own(states), self._product(states).float(), states)
            for states in (hidden, hidden * (LARGE_LOGIT / largest).to(hidden.dtype))
        )


def _tried(causal: PreTrainedModel, ids: torch.Tensor) -> tuple[PreTrainedModel, dict, torch.Tensor]:
    """The outermost model within `causal` that a pass runs, its output, and the logits, float32."""
    ran: list[PreTrainedModel] = []
    outputs: dict[PreTrainedModel, dict] = {}
    hooks = []
    for module in causal.modules():
        if isinstance(module, PreTrainedModel) and module is not causal:
            hooks.append(module.register_forward_pre_hook(lambda each, _: ran.append(each)))
            hooks.append(module.register_forward_hook(lambda each, _, output: outputs.setdefault(each, output)))
    try:
        logits = causal(input_ids=ids, use_cache=False).logits.float()
    finally:
        for hook in hooks:
            hook.remove()
    if not ran or not hasattr(outputs[ran[0]], "keys"):
        raise UserError(f"model.base: {type(causal).__name__} has no decoder of its own below its output layer, which is not supported")
    return ran[0], outputs[ran[0]], logits


@contextmanager
def _replaced(decoder: PreTrainedModel, output: dict) -> Iterator[None]:
    """Within: the decoder returns `output` whatever it is given."""
    own = decoder.__dict__.get("forward")
    decoder.forward = lambda *_, **__: output
    try:
        yield
    finally:
        if own is None:
            del decoder.forward
        else:
            decoder.forward = own


def _close(ours: torch.Tensor, expected: torch.Tensor, states: torch.Tensor) -> bool:
    """Whether logits agree but for the rounding of the states' number format."""
    tolerance = 1e-4 if states.dtype == torch.float32 else 2e-2
    return bool((ours.to(expected.device) - expected).abs().max() <= tolerance * expected.abs().max() + 1e-6)


def _refuse_non_finite(causal: PreTrainedModel, logits: torch.Tensor) -> None:
    if not logits.isfinite().all():
        where = [f"non-finite weights in {name}" for name, weights in causal.named_parameters() if not weights.isfinite().all()]
        raise UserError(f"model.base: the logits are not finite ({where[0] if where else 'write gradients.precision: fp32'})")
