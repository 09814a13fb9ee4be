"""The HF Trainer, stopped when it is no longer finite. Imports transformers: take it inside functions."""

import torch
from transformers import Trainer

from equipoise.modelling.adapter import lora_parameters
from equipoise.training.divergence import refuse_non_finite


class BatchTrainer(Trainer):
    """A Trainer that looks at every step. title: what messages call the training.

    latest: loss, gradient norm and learning rate of the last step, the same in every process.
    """

    def __init__(self, *, title: str, **arguments):
        super().__init__(**arguments)
        self._title = title
        self._parts: list[torch.Tensor] = []
        self.latest: dict[str, float] = {}

    def training_step(self, model, inputs, num_items_in_batch=None):
        part = super().training_step(model, inputs, num_items_in_batch)
        self._parts.append(part)
        return part

    def _clip_grad_norm(self, model):
        """Looks at a step's loss and gradient before the optimizer does; all processes see the same and stop together."""
        norm = super()._clip_grad_norm(model)
        loss = self.accelerator.gather(torch.stack(self._parts).sum()).mean()
        self._parts.clear()
        rate = self.lr_scheduler.get_last_lr()[0]
        self.latest.update(loss=loss.item(), gradient_norm=float(norm), learning_rate=rate)
        refuse_non_finite(self._title, self.state.global_step + 1, **self.latest)
        return norm

    def refuse_non_finite_adapter(self, step: int) -> None:
        """Raises `Diverged` when the optimizer's step has left a number in the adapter that is not finite."""
        norm = torch.nn.utils.get_total_norm(list(lora_parameters(self.model).values()))
        refuse_non_finite(self._title, step, norm_of_the_adapter=norm.item())
