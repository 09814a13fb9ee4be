"""Warms up the selection model M_s and leaves a checkpoint after every epoch (method.md, "Warm-up").

`warmup.seeds` may ask for several: trainings that differ in what is drawn (adapter, order of the data, the share of the pool) and in
nothing else. What is drawn by seed 0 depends on the experiment's seed alone; the checkpoints of the others bear their seed in their names.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.config import Experiment
from equipoise.conversation.sources import input_files
from equipoise.determinants import determinants
from equipoise.files import file_digest
from equipoise.layout import epoch_label
from equipoise.process import first_process
from equipoise.progress import log
from equipoise.store.artefact import open_artefact
from equipoise.store.manifest import fingerprint
from equipoise.training.resumption import open_scratch, remove_scratch
from equipoise.training.schedule import steps_per_epoch

if TYPE_CHECKING:
    from equipoise.modelling.examples import Examples
    from equipoise.training.epoch_checkpoints import EpochCheckpoints


def warm_up(config: Experiment, seed: int | None = None) -> None:
    """Trains a fresh adapter on the warm-up set and writes checkpoint and manifest of every epoch, manifests last.

    seed: one of `warmup.seeds`; none: all, one after the other.
    A warm-up that was killed goes on from the Trainer's last own checkpoint; one whose inputs have changed starts from the beginning;
    one whose checkpoints are all there and whole writes the manifests alone.
    """
    for each in config.warmup.seeds if seed is None else [seed]:
        _warm_up(config, each)


def _warm_up(config: Experiment, seed: int) -> None:
    from equipoise.training.epoch_checkpoints import EpochCheckpoints

    identity = warm_up_fingerprint(config, seed)
    checkpoints = EpochCheckpoints(config, identity, seed)
    scratch = _scratch(config, seed)
    missing = checkpoints.missing()
    if missing:
        if first_process():
            checkpoints.remove_others()
            open_scratch(scratch, identity)
        _train(config, seed, checkpoints, scratch, identity, missing[0])
    else:
        log(f"{_title(seed)}: the checkpoints of all epochs are there")
    if first_process():
        checkpoints.write_manifests()
        remove_scratch(scratch)


def _scratch(config: Experiment, seed: int) -> Path:
    return Path(config.layout.checkpoint(epoch_label("trainer", seed)))


def _title(seed: int) -> str:
    return f"warm-up of seed {seed}" if seed else "warm-up"


def share_warmup_examples(config: Experiment, seed: int) -> None:
    """Encodes the examples of a seed's warm-up of several processes, before these start."""
    from equipoise.training.epoch_checkpoints import EpochCheckpoints
    from equipoise.training.training_set import share_examples

    identity = warm_up_fingerprint(config, seed)
    if EpochCheckpoints(config, identity, seed).missing():
        share_examples(_scratch(config, seed), identity, lambda: _examples(config, seed))


def _examples(config: Experiment, seed: int) -> "Examples":
    from equipoise.modelling.base import load_tokenizer
    from equipoise.training.training_set import warmup_examples

    pool = None if config.warmup.files else open_artefact(config, "pool").only_file()
    return warmup_examples(config, load_tokenizer(config.model), pool, seed)


def _train(config: Experiment, seed: int, checkpoints: "EpochCheckpoints", scratch: Path, identity: str, first_missing: int) -> None:
    """Trains to the end, from a state at or before the end of epoch `first_missing`."""
    from equipoise.gradients.engine import Engine
    from equipoise.modelling.adapter import attach_adapter
    from equipoise.modelling.base import load_base, load_tokenizer
    from equipoise.modelling.chat import pad_token
    from equipoise.training.trainer import loading_device, train
    from equipoise.training.training_set import encoded_once, warmup_seed

    epochs = config.warmup.epochs
    tokenizer = load_tokenizer(config.model)
    examples = encoded_once(scratch, identity, lambda: _examples(config, seed))
    log(f"{_title(seed)}: {len(examples):,} examples, {epochs} epochs")
    base = load_base(config.model, config.model.precision, loading_device(config))
    model = attach_adapter(base, config.lora, warmup_seed(config, "adapter", seed))
    if base.device.type != "meta":  # else the first process does it
        Engine(model.eval())  # a pass over a few tokens: what collection would refuse after the training is refused before it
    per_epoch = steps_per_epoch(config.training, len(examples))
    saver = checkpoints.saver(model, tokenizer, per_epoch)
    order, curves = warmup_seed(config, "data", seed), scratch.parent / str(epoch_label("tensorboard", seed))
    pad, latest = pad_token(tokenizer), first_missing * per_epoch
    train(config, _title(seed), model, examples, pad, epochs, order, scratch, curves, [saver], latest=latest)


def warm_up_fingerprint(config: Experiment, seed: int = 0) -> str:
    """What the epoch checkpoints of a seed's warm-up depend on: data, base, adapter, hyper-parameters, seed."""
    from equipoise.modelling.base import adapted_in, base_identity

    files = config.warmup.files
    content = {
        "config": determinants(config, "warm_up"),
        "data": [file_digest(f) for f in input_files(files)] if files else open_artefact(config, "pool")["digest"],
        "base": base_identity(config.model),
        "adapted": adapted_in(config.model, config.lora),
        **({"seed": seed} if seed else {}),
    }
    return fingerprint(content)
