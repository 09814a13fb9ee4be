"""What one optimizer step on one example does to the losses of others: torch's own AdamW from a checkpoint's moments, all in float64.

What a step changes has two parts: Adam's momentum and, where there is one, weight decay act whatever the example is; the step with a
gradient of zero is that part, and all examples share it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from equipoise.evaluation.loss import losses
from equipoise.gradients.estimator import autograd_gradients
from equipoise.modelling.adapter import lora_parameters

if TYPE_CHECKING:
    from equipoise.gradients.adam import Moments
    from equipoise.modelling.chat import Encoded

Gradients = dict[str, torch.Tensor]


class InDouble(TorchFunctionMode):
    """Within, what a model would compute in float32 whatever its weights are (norms, rotary angles, softmax) is computed in float64."""

    def __torch_function__(self, function: Any, types: Any, arguments: Sequence[Any] = (), named: dict[str, Any] | None = None) -> Any:
        if function is torch.Tensor.float:
            return torch.Tensor.double(*arguments)
        widened = [torch.float64 if each is torch.float32 else each for each in arguments]
        return function(*widened, **{name: torch.float64 if each is torch.float32 else each for name, each in (named or {}).items()})


def stepped(parameters: Gradients, gradients: Gradients, moments: "Moments", rate: float, weight_decay: float) -> Gradients:
    """Parameters after one step of torch's AdamW, float64. gradients: by the same names; moments: Adam's, whose next step it is."""
    moved = {name: parameter.detach().double().clone().requires_grad_() for name, parameter in parameters.items()}
    optimizer = torch.optim.AdamW(
        list(moved.values()), lr=rate, betas=(moments.beta1, moments.beta2), eps=moments.eps, weight_decay=weight_decay, foreach=False
    )
    for name, parameter in moved.items():
        parameter.grad = gradients[name].detach().double()
        optimizer.state[parameter] = {
            "step": torch.tensor(float(moments.step)),
            "exp_avg": moments.first[name].to(parameter.device, torch.float64).clone(),
            "exp_avg_sq": moments.second[name].to(parameter.device, torch.float64).clone(),
        }
    optimizer.step()
    return {name: parameter.detach() for name, parameter in moved.items()}


@contextmanager
def standing_at(model: torch.nn.Module, values: Gradients) -> Iterator[None]:
    """Within, the adapter of `model` has these values."""
    parameters = lora_parameters(model)
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        _put(parameters, values)
        yield
    finally:
        _put(parameters, before)


def _put(parameters: dict[str, torch.nn.Parameter], values: Gradients) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])


class OneStep:
    """Steps from a checkpoint. model: float64, its adapter the checkpoint's; validation: examples whose losses are measured."""

    def __init__(
        self,
        model: torch.nn.Module,
        moments: "Moments",
        rate: float,
        weight_decay: float,
        validation: Sequence["Encoded"],
        batch_size: int,
    ):
        self._model, self._moments, self._rate, self._weight_decay = model, moments, rate, weight_decay
        self._validation, self._batch_size = validation, batch_size
        self._start = {name: parameter.detach().clone() for name, parameter in lora_parameters(model).items()}

    def before(self) -> np.ndarray:
        """Losses at the checkpoint, float64 [V]."""
        with InDouble():
            return np.array(losses(self._model, self._validation, self._batch_size, 0, title=""))

    def without_gradient(self) -> np.ndarray:
        """Losses after the step with a gradient of zero, float64 [V]."""
        return self._after({name: torch.zeros_like(value) for name, value in self._start.items()})

    def after(self, examples: Iterable["Encoded"]) -> Iterator[np.ndarray]:
        """Losses after a step on each of the examples alone, float64 [V]; NaN for one without a finite gradient."""
        for example in examples:
            with InDouble():
                gradients, _ = autograd_gradients(self._model, example, lora_parameters(self._model))
            finite = all(bool(each.isfinite().all()) for each in gradients.values())
            yield self._after(gradients) if finite else np.full(len(self._validation), np.nan)

    def _after(self, gradients: Gradients) -> np.ndarray:
        with standing_at(self._model, stepped(self._start, gradients, self._moments, self._rate, self._weight_decay)):
            return self.before()
