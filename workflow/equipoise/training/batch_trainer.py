"""The HF Trainer with the loss of `training.loss`, stopped when it is no longer finite. Imports transformers: take it inside functions.

A batch is cut into micro batches and among processes. Its loss is a sum of parts, each divided by the count of the whole batch, so that
neither the cut nor a short last part changes it.
"""

from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import Trainer
from transformers.trainer import SCHEDULER_NAME

from equipoise.config import Training
from equipoise.modelling.adapter import lora_parameters
from equipoise.modelling.chat import IGNORED_LABEL
from equipoise.modelling.checkpoint import gather_adapter
from equipoise.training import sharding
from equipoise.training.divergence import refuse_non_finite
from equipoise.training.schedule import steps_per_epoch


def example_loss(outputs, labels: torch.Tensor, num_items_in_batch: torch.Tensor) -> torch.Tensor:
    """Each example's mean cross-entropy over its completion tokens, added up over a micro batch; per example of the whole batch.

    outputs.logits: [n, t, vocabulary]; labels: int64 [n, t], `IGNORED_LABEL` outside the completion; num_items_in_batch: examples.
    """
    targets = labels[:, 1:]
    counted = targets != IGNORED_LABEL
    losses = F.cross_entropy(outputs.logits[:, :-1][counted].float(), targets[counted], reduction="none")
    weights = 1.0 / counted.sum(dim=1, keepdim=True).clamp(min=1)
    return (losses * weights.expand_as(targets)[counted]).sum() / num_items_in_batch


class BatchTrainer(Trainer):
    """A Trainer whose loss is the whole batch's. examples: how many an epoch has; title: what messages call the training.

    latest: loss, gradient norm and learning rate of the last step, the same in every process.
    """

    def __init__(self, *, training: Training, examples: int, title: str, **arguments):
        super().__init__(compute_loss_func=example_loss if training.loss == "example" else None, **arguments)
        self._training, self._examples, self._title = training, examples, title
        self._sharded = training.sharding == "fsdp"
        if self._sharded:
            prepare = self.accelerator.prepare_model  # its number format alone: no copies of whole models, as DDP has
            self.accelerator.prepare_model = lambda model, place=None, **_: prepare(model, place, evaluation_mode=True)
        self._parts: list[torch.Tensor] = []
        self.latest: dict[str, float] = {}

    def rows_of(self, step: int) -> int:
        """Examples of a step (from 0), of all processes; an epoch's last one may have fewer."""
        first = step % steps_per_epoch(self._training, self._examples) * self._training.batch_size
        return max(0, min(self._training.batch_size, self._examples - first))

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """The micro batches of this process, and what the whole batch counts: examples or completion tokens, over all processes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        step = self.state.global_step % steps_per_epoch(self._training, self._examples)
        for place, batch in enumerate(batches, start=step * self._training.accumulation):
            batch["labels"][self._own(place) :] = IGNORED_LABEL
        counted = [batch["labels"][:, 1:] != IGNORED_LABEL for batch in batches]
        count = sum((c.any(dim=1) if self._training.loss == "example" else c).sum() for c in counted)
        return batches, self.accelerator.gather(count.to(device)).sum()

    def _own(self, place: int) -> int:
        """How many examples of the micro batch `place` of the epoch are its own.

        Where an epoch does not fill the last micro batches of all processes, accelerate repeats its first examples.
        """
        first = (place * self.accelerator.num_processes + self.accelerator.process_index) * self._training.micro_batch_size
        return max(0, self._examples - first)

    def training_step(self, model, inputs, num_items_in_batch=None):
        part = super().training_step(model, inputs, num_items_in_batch)
        self._parts.append(part)
        return part

    def _clip_grad_norm(self, model):
        """Looks at a step's loss and gradient before the optimizer does; all processes see the same and stop together."""
        norm = _whole(super()._clip_grad_norm(model))
        loss = self.accelerator.gather(torch.stack(self._parts).sum()).mean()
        self._parts.clear()
        rate = self.lr_scheduler.get_last_lr()[0]
        self.latest.update(loss=loss.item(), gradient_norm=float(norm), learning_rate=rate)
        refuse_non_finite(self._title, self.state.global_step + 1, **self.latest)
        return norm

    def refuse_non_finite_adapter(self, step: int) -> None:
        """Raises `Diverged` when the optimizer's step has left a number in the adapter that is not finite."""
        norm = _whole(torch.nn.utils.get_total_norm(list(lora_parameters(self.model).values())))
        refuse_non_finite(self._title, step, norm_of_the_adapter=norm.item())

    # the Trainer's own checkpoints of parameters that are spread over processes
    def save_model(self, output_dir=None, _internal_call=False):
        if not self._sharded:
            return super().save_model(output_dir, _internal_call)
        weights = gather_adapter(self.model)
        return self._save(output_dir, state_dict=weights) if self.args.should_save else None

    def _save_optimizer_and_scheduler(self, output_dir):
        if not self._sharded:
            return super()._save_optimizer_and_scheduler(output_dir)
        sharding.save_moments(self.model, self.optimizer.optimizer, Path(output_dir), self.args.should_save)
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)
        return None

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        if not self._sharded:
            return super()._load_from_checkpoint(resume_from_checkpoint, model)
        return sharding.load_adapter_weights(self.model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint):
        if not self._sharded or checkpoint is None:
            return super()._load_optimizer_and_scheduler(checkpoint)
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))
        return sharding.load_moments(self.model, self.optimizer.optimizer, Path(checkpoint))


def _whole(norm: torch.Tensor) -> torch.Tensor:
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
