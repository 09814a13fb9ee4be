"""Fine-tunes the target model M_t: a fresh LoRA adapter on a selection (method: target training)."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.config import Experiment
from equipoise.determinants import determinants
from equipoise.files import file_digest
from equipoise.layout import Layout, Run
from equipoise.progress import log
from equipoise.seeds import derive_seed
from equipoise.store.manifest import fingerprint, read_manifest, write_manifest

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def fine_tune(config: Experiment, run: Run, base: "PreTrainedModel | None" = None) -> None:
    """Trains `run`'s adapter and writes its manifest last; does nothing when a whole one of the same inputs is there.

    base: an already loaded base, for several runs in one process; it is left as it was.
    """
    from equipoise.modelling.adapter import attach_adapter
    from equipoise.modelling.base import load_base, load_tokenizer, resolve_device
    from equipoise.modelling.chat import pad_token
    from equipoise.modelling.checkpoint import folder_digests, publish_folder, save_adapter
    from equipoise.training.trainer import train
    from equipoise.training.training_set import pool_examples, selected_rows

    layout = config.layout
    identity = run_fingerprint(config, run)
    if is_finished(layout, run, identity):
        log(f"{run.path}: already there")
        return
    rows = selected_rows(layout.selection(run.selector, run.selection_seed, run.budget))
    tokenizer = load_tokenizer(config.model)
    examples = pool_examples(config, tokenizer, layout.pool, rows)
    log(f"{run.path}: {len(examples):,} examples, {run.epochs} epochs")
    folder = Path(layout.run(run))
    scratch = folder / "trainer" / identity[:16]
    # The seed leaves the selector out: arms of equal seed start from the same adapter.
    base = base if base is not None else load_base(config.model, config.model.precision, resolve_device(config.model.device))
    model = attach_adapter(base, config.lora, derive_seed(config.seed, "finetune.adapter", run.seed))
    seed = derive_seed(config.seed, "finetune.data", run.seed)
    trainer = train(config, model, examples, pad_token(tokenizer), int(run.epochs), seed, scratch, folder / "tensorboard")
    if trainer.is_world_process_zero():
        part = folder / ".adapter.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_adapter(part, model, tokenizer)
        publish_folder(part, Path(layout.adapter(run)))
        write_manifest(
            layout.run_manifest(run),
            "run",
            run=vars(run),
            rows=len(examples),
            steps=trainer.state.global_step,
            files=folder_digests(layout.adapter(run)),
            fingerprint=identity,
        )
        shutil.rmtree(scratch.parent, ignore_errors=True)
    model.unload()


def run_fingerprint(config: Experiment, run: Run) -> str:
    """What a run's adapter depends on: selected rows, base, adapter, hyper-parameters, epochs, seeds."""
    from equipoise.modelling.base import base_identity

    layout = config.layout
    pool = read_manifest(layout.pool_manifest, "pool")["digest"]
    selection = file_digest(layout.selection(run.selector, run.selection_seed, run.budget))
    return fingerprint(
        {
            "pool": pool,
            "selection": selection,
            "base": base_identity(config.model),
            "config": determinants(config, "fine_tune"),
            "run": vars(run),
        }
    )


def is_finished(layout: Layout, run: Run, identity: str) -> bool:
    """Whether `run`'s adapter is there, whole, and made from the same inputs."""
    from equipoise.modelling.checkpoint import folder_digests

    if not Path(layout.run_manifest(run)).exists():
        return False
    manifest = read_manifest(layout.run_manifest(run), "run")
    folder = Path(layout.adapter(run))
    return manifest["fingerprint"] == identity and folder.is_dir() and folder_digests(folder) == manifest["files"]
