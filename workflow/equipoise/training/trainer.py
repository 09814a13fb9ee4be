"""Supervised fine-tuning of a LoRA adapter with the HF Trainer: the one place where it is set up."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.modelling.chat import Encoded, pad
from equipoise.process import first_process
from equipoise.progress import log
from equipoise.training.resumption import last_checkpoint, mark_whole
from equipoise.training.schedule import steps_per_epoch, warmup_steps

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import Trainer, TrainerCallback

    from equipoise.training.batch_trainer import BatchTrainer


def train(
    config: Experiment,
    title: str,
    model: "PeftModel",
    examples: Sequence[Encoded],
    pad_token: int,
    epochs: int,
    seed: int,
    scratch: str | Path,
    curves: str | Path,
    callbacks: Sequence["TrainerCallback"] = (),
    latest: int | None = None,
) -> "Trainer":
    """Trains `model` in place for `epochs` over `examples` and returns the finished Trainer. title: what messages call the training.

    scratch: folder of the Trainer's own checkpoints (every `training.save_steps` steps); a run that was killed resumes from the last
    whole one at or before step `latest`. The caller opens it before and removes it once its results are safe (`resumption`).
    curves: folder of TensorBoard's files, where `training.report_to` names it.
    Raises `UserError` when other than `training.processes` processes train: the batch would not be the configured one; and `Diverged`
    when loss, gradient norm or adapter is not finite.
    """
    from equipoise.training.batch_trainer import BatchTrainer

    _refuse_other_processes(config.training.processes)
    scratch = Path(scratch)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(curves)  # read when the Trainer is made
    arguments = _arguments(config, len(examples), epochs, seed, scratch)
    if config.training.sharding == "fsdp":
        from equipoise.training.sharding import shard

        shard(model, arguments.device)  # the arguments have brought the processes together
    trainer = BatchTrainer(
        training=config.training,
        examples=len(examples),
        title=title,
        model=model,
        args=arguments,
        train_dataset=list(range(len(examples))),
        data_collator=partial(_collate, examples, pad_token),
    )
    for callback in (_watch(trainer), *callbacks, _marker(scratch)):
        trainer.add_callback(callback)
    trainer.remove_callback(_default_printer())
    with arguments.main_process_first(local=False):
        last = last_checkpoint(scratch, latest)
    if last:
        log(f"resuming from {last}")
    trainer.train(resume_from_checkpoint=last)
    return trainer


def loading_device(config: Experiment) -> "torch.device":
    """Where a base to be trained is loaded: on its device, unless the processes hold it only together.

    Then the first of them reads it on the host, and the others have no more than its shapes, on `meta`, until it is spread.
    """
    import torch

    from equipoise.modelling.base import resolve_device

    device = resolve_device(config.model.device)
    if config.training.sharding == "fsdp":
        return torch.device("cpu" if first_process() else "meta")
    return device


def _refuse_other_processes(wanted: int) -> None:
    running = int(os.environ.get("WORLD_SIZE", "1"))
    if running != wanted:
        raise UserError(
            f"training.processes: {wanted}, but {running} train here; write training.processes: 1 with jobs.runs: together, "
            "or jobs.runs: separate, where the stage starts them"
        )


def _collate(examples: Sequence[Encoded], pad_token: int, rows: Sequence[int]) -> dict[str, Any]:
    return pad([examples[row] for row in rows], pad_token)


def _arguments(config: Experiment, examples: int, epochs: int, seed: int, scratch: Path):
    from transformers import TrainingArguments

    from equipoise.modelling.base import resolve_device

    training = config.training
    total = epochs * steps_per_epoch(training, examples)
    arguments = TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=epochs,
        per_device_train_batch_size=training.micro_batch_size,
        gradient_accumulation_steps=training.accumulation,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule,
        warmup_steps=warmup_steps(training, total),
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim="adamw_torch",
        activation_checkpointing=training.activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if training.activation_checkpointing else None,
        bf16=config.model.precision == "bf16",
        use_cpu=resolve_device(config.model.device).type == "cpu",
        seed=seed,
        data_seed=seed,
        save_strategy="steps" if training.save_steps < total else "no",
        save_steps=training.save_steps,
        report_to=list(training.report_to) or "none",
        logging_steps=max(1, total // 50),
        logging_nan_inf_filter=False,  # it would hide what stops the training, and waits for the device at every micro batch
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
    )
    # One process trains on one GPU: the Trainer would spread a batch over every GPU it sees and so enlarge it.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _marker(scratch: Path) -> "TrainerCallback":
    """Marks a Trainer checkpoint as whole once every process has written its part of it."""
    from transformers import TrainerCallback

    class Marker(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            args.distributed_state.wait_for_everyone()
            if state.is_world_process_zero:
                mark_whole(scratch, state.global_step)

    return Marker()


def _default_printer():
    from transformers import PrinterCallback

    return PrinterCallback


def _watch(trainer: "BatchTrainer") -> "TrainerCallback":
    """Stops at an adapter that is not finite, and shows progress: a rich bar on a terminal, plain lines in a log, as every long stage."""
    from transformers import TrainerCallback

    from equipoise.progress import track

    def note() -> str:
        return ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in trainer.latest.items())

    class Watch(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            left = range(state.global_step, state.max_steps)
            self.steps = track(left, "training", sum(map(trainer.rows_of, left)), "rows", trainer.rows_of, note)
            next(self.steps, None)

        def on_step_end(self, args, state, control, **kwargs):
            trainer.refuse_non_finite_adapter(state.global_step)
            next(self.steps, None)

    return Watch()
