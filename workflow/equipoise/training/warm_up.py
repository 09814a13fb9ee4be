"""Warms up the selection model M_s and leaves a checkpoint after every epoch (method: warm-up)."""

import shutil
from pathlib import Path

from equipoise.config import Experiment
from equipoise.determinants import determinants
from equipoise.files import file_digest
from equipoise.layout import Layout
from equipoise.process import first_process
from equipoise.progress import log
from equipoise.seeds import derive_seed
from equipoise.store.manifest import fingerprint, read_manifest, write_manifest


def warm_up(config: Experiment) -> None:
    """Trains a fresh adapter on the warm-up set and writes checkpoint and manifest of every epoch, manifests last.

    A warm-up that was killed goes on from the Trainer's last own checkpoint; one whose inputs have changed starts anew.
    """
    from equipoise.modelling.adapter import attach_adapter
    from equipoise.modelling.base import load_base, load_tokenizer, resolve_device
    from equipoise.modelling.chat import pad_token
    from equipoise.modelling.checkpoint import folder_digests, read_state
    from equipoise.training.trainer import train
    from equipoise.training.training_set import warmup_examples

    layout = config.layout
    identity = warm_up_fingerprint(config)
    scratch = Path(layout.checkpoint("trainer"))
    if first_process():
        _start_anew_unless(scratch, identity)
    tokenizer = load_tokenizer(config.model)
    examples = warmup_examples(config, tokenizer, layout.pool)
    log(f"warm-up: {len(examples):,} examples, {config.warmup.epochs} epochs")
    base = load_base(config.model, config.model.precision, resolve_device(config.model.device))
    model = attach_adapter(base, config.lora, derive_seed(config.seed, "warmup.adapter"))
    saver = _epoch_saver(config, layout, model, tokenizer, len(examples))
    seed = derive_seed(config.seed, "warmup.data")
    curves = Path(layout.checkpoint(1)).parent / "tensorboard"
    trainer = train(config, model, examples, pad_token(tokenizer), config.warmup.epochs, seed, scratch, curves, [saver])
    if not trainer.is_world_process_zero():
        return
    for epoch in range(1, config.warmup.epochs + 1):
        folder = layout.checkpoint(epoch)
        state = read_state(folder)
        write_manifest(
            layout.checkpoint_manifest(epoch),
            "checkpoint",
            epoch=epoch,
            step=state["step"],
            mean_learning_rate=state["mean_learning_rate"],
            files=folder_digests(folder),
            fingerprint=identity,
        )
    shutil.rmtree(scratch)


def warm_up_fingerprint(config: Experiment) -> str:
    """What the epoch checkpoints depend on: data, base, adapter, hyper-parameters, seed."""
    from equipoise.modelling.base import base_identity

    layout = config.layout
    files = config.warmup.files
    content = {
        "config": determinants(config, "warm_up"),
        "data": [file_digest(f) for f in files] if files else read_manifest(layout.pool_manifest, "pool")["digest"],
        "base": base_identity(config.model),
    }
    return fingerprint(content)


def _start_anew_unless(scratch: Path, identity: str) -> None:
    """Removes a Trainer folder that belongs to other inputs; a new one is marked with ours before anything is written into it."""
    mark = scratch / "fingerprint"
    if scratch.exists() and (not mark.exists() or mark.read_text() != identity):
        log(f"{scratch} belongs to another configuration; starting anew")
        shutil.rmtree(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    mark.write_text(identity)


def _epoch_saver(config: Experiment, layout: Layout, model, tokenizer, examples: int):
    from transformers import TrainerCallback

    from equipoise.modelling.checkpoint import save_checkpoint
    from equipoise.training.schedule import mean_learning_rate, steps_per_epoch

    class EpochSaver(TrainerCallback):
        def on_epoch_end(self, args, state, control, optimizer=None, **kwargs):
            if not state.is_world_process_zero:
                return
            epoch = round(state.epoch)
            per_epoch = steps_per_epoch(config.training, examples)
            rate = mean_learning_rate(config.training, epoch, per_epoch, config.warmup.epochs)
            inner = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
            save_checkpoint(layout.checkpoint(epoch), model, tokenizer, inner, epoch, state.global_step, rate)
            log(f"epoch {epoch}: step {state.global_step}, mean learning rate {rate:.3g} -> {layout.checkpoint(epoch)}")

    return EpochSaver()
