"""Steps and learning rates of a training in closed form, so that a resumed run knows the mean rate of every epoch."""

import math

from equipoise.config import Training


def steps_per_epoch(training: Training, examples: int) -> int:
    """Optimizer steps of one epoch, as the HF Trainer counts them (the last one may be short)."""
    micro_batches = math.ceil(math.ceil(examples / training.processes) / training.micro_batch_size)
    return math.ceil(micro_batches / training.accumulation)


def warmup_steps(training: Training, total_steps: int) -> int:
    """Steps over which the learning rate rises linearly."""
    return math.ceil(training.warmup_ratio * total_steps)


def learning_rate(training: Training, step: int, total_steps: int) -> float:
    """Rate used by optimizer step `step` (from 0): linear warm-up, then cosine or linear decay to zero (as in transformers)."""
    rising = warmup_steps(training, total_steps)
    if step < rising:
        return training.learning_rate * step / max(1, rising)
    progress = (step - rising) / max(1, total_steps - rising)
    decay = 0.5 * (1.0 + math.cos(math.pi * progress)) if training.schedule == "cosine" else 1.0 - progress
    return training.learning_rate * max(0.0, decay)


def mean_learning_rate(training: Training, epoch: int, per_epoch: int, epochs: int) -> float:
    """Mean rate over the steps of `epoch` (from 1)."""
    steps = range((epoch - 1) * per_epoch, epoch * per_epoch)
    return math.fsum(learning_rate(training, step, epochs * per_epoch) for step in steps) / per_epoch
