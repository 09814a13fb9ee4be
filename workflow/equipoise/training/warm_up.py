"""Warms up the selection model M_s and leaves a checkpoint after every epoch (method.md, "Warm-up")."""

from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.config import Experiment
from equipoise.conversation.sources import input_files
from equipoise.determinants import determinants
from equipoise.files import file_digest
from equipoise.process import first_process
from equipoise.progress import log
from equipoise.seeds import derive_seed
from equipoise.store.artefact import open_artefact
from equipoise.store.manifest import fingerprint
from equipoise.training.resumption import open_scratch, remove_scratch
from equipoise.training.schedule import steps_per_epoch

if TYPE_CHECKING:
    from equipoise.modelling.examples import Examples
    from equipoise.training.epoch_checkpoints import EpochCheckpoints


def warm_up(config: Experiment) -> None:
    """Trains a fresh adapter on the warm-up set and writes checkpoint and manifest of every epoch, manifests last.

    A warm-up that was killed goes on from the Trainer's last own checkpoint; one whose inputs have changed starts from the beginning;
    one whose checkpoints are all there and whole writes the manifests alone.
    """
    from equipoise.training.epoch_checkpoints import EpochCheckpoints

    identity = warm_up_fingerprint(config)
    checkpoints = EpochCheckpoints(config, identity)
    scratch = Path(config.layout.checkpoint("trainer"))
    missing = checkpoints.missing()
    if missing:
        if first_process():
            checkpoints.remove_others()
            open_scratch(scratch, identity)
        _train(config, checkpoints, scratch, identity, missing[0])
    else:
        log("warm-up: the checkpoints of all epochs are there")
    if first_process():
        checkpoints.write_manifests()
        remove_scratch(scratch)


def share_warmup_examples(config: Experiment) -> None:
    """Encodes the examples of a warm-up of several processes, before these start."""
    from equipoise.training.epoch_checkpoints import EpochCheckpoints
    from equipoise.training.training_set import share_examples

    identity = warm_up_fingerprint(config)
    if EpochCheckpoints(config, identity).missing():
        share_examples(Path(config.layout.checkpoint("trainer")), identity, lambda: _examples(config))


def _examples(config: Experiment) -> "Examples":
    from equipoise.modelling.base import load_tokenizer
    from equipoise.training.training_set import warmup_examples

    pool = None if config.warmup.files else open_artefact(config, "pool").only_file()
    return warmup_examples(config, load_tokenizer(config.model), pool)


def _train(config: Experiment, checkpoints: "EpochCheckpoints", scratch: Path, identity: str, first_missing: int) -> None:
    """Trains to the end, from a state at or before the end of epoch `first_missing`."""
    from equipoise.gradients.engine import Engine
    from equipoise.modelling.adapter import attach_adapter
    from equipoise.modelling.base import load_base, load_tokenizer
    from equipoise.modelling.chat import pad_token
    from equipoise.training.trainer import loading_device, train
    from equipoise.training.training_set import encoded_once

    epochs = config.warmup.epochs
    tokenizer = load_tokenizer(config.model)
    examples = encoded_once(scratch, identity, lambda: _examples(config))
    log(f"warm-up: {len(examples):,} examples, {epochs} epochs")
    base = load_base(config.model, config.model.precision, loading_device(config))
    model = attach_adapter(base, config.lora, derive_seed(config.seed, "warmup.adapter"))
    if base.device.type != "meta":  # else the first process does it
        Engine(model.eval())  # a pass over a few tokens: what collection would refuse after the training is refused before it
    per_epoch = steps_per_epoch(config.training, len(examples))
    saver = checkpoints.saver(model, tokenizer, per_epoch)
    seed, curves = derive_seed(config.seed, "warmup.data"), scratch.parent / "tensorboard"
    train(
        config, "warm-up", model, examples, pad_token(tokenizer), epochs, seed, scratch, curves, [saver], latest=first_missing * per_epoch
    )


def warm_up_fingerprint(config: Experiment) -> str:
    """What the epoch checkpoints depend on: data, base, adapter, hyper-parameters, seed."""
    from equipoise.modelling.base import adapted_in, base_identity

    files = config.warmup.files
    content = {
        "config": determinants(config, "warm_up"),
        "data": [file_digest(f) for f in input_files(files)] if files else open_artefact(config, "pool")["digest"],
        "base": base_identity(config.model),
        "adapted": adapted_in(config.model, config.lora),
    }
    return fingerprint(content)
