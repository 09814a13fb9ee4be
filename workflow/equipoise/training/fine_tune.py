"""Fine-tunes the target model M_t: a fresh LoRA adapter on a selection (method: target training)."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.config import Experiment
from equipoise.determinants import determinants
from equipoise.files import file_digest
from equipoise.layout import Layout, Run
from equipoise.process import first_process
from equipoise.progress import log
from equipoise.seeds import derive_seed
from equipoise.store.manifest import fingerprint, read_manifest, write_manifest
from equipoise.training.divergence import Diverged, failure
from equipoise.training.resumption import open_scratch, remove_scratch

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def fine_tune(config: Experiment, run: Run, base: "PreTrainedModel | None" = None) -> None:
    """Trains `run`'s adapter and writes its manifest last; does nothing when a whole one of the same inputs is there.

    base: an already loaded base, for several runs in one process; it is left as it was. A training that does not stay finite is a result
    too: the run's manifest then holds the reason as `failed`, and no files (see `failure`); the same inputs would fail again.
    """
    from equipoise.modelling.adapter import attach_adapter
    from equipoise.modelling.base import load_base, load_tokenizer
    from equipoise.modelling.chat import pad_token
    from equipoise.modelling.checkpoint import gather_adapter
    from equipoise.training.trainer import loading_device, train
    from equipoise.training.training_set import pool_examples, selected_rows

    layout = config.layout
    folder, identity = Path(layout.run(run)), run_fingerprint(config, run)
    scratch = folder / "trainer"
    if is_finished(layout, run, identity):
        reason = failure(layout, run)
        log(f"{run.path}: already there" + (f", failed: {reason}" if reason else ""))
        if first_process():
            remove_scratch(scratch)  # a kill may have left it
        return
    rows = selected_rows(layout.selection(run.selector, run.selection_seed, run.budget))
    tokenizer = load_tokenizer(config.model)
    examples = pool_examples(config, tokenizer, layout.pool, rows)
    log(f"{run.path}: {len(examples):,} examples, {run.epochs} epochs")
    if first_process():
        open_scratch(scratch, identity)
    # The seed leaves the selector out: arms of equal seed start from the same adapter.
    base = base if base is not None else load_base(config.model, config.model.precision, loading_device(config))
    model = attach_adapter(base, config.lora, derive_seed(config.seed, "finetune.adapter", run.seed))
    seed = derive_seed(config.seed, "finetune.data", run.seed)
    try:
        trainer = train(config, run.path, model, examples, pad_token(tokenizer), int(run.epochs), seed, scratch, folder / "tensorboard")
        weights = gather_adapter(model) if config.training.sharding != "none" else None
        if first_process():
            _publish(layout, run, model, tokenizer, weights, len(examples), trainer.state.global_step, identity)
            remove_scratch(scratch)
    except Diverged as error:
        if first_process():
            _record_failure(layout, run, str(error), identity)
            remove_scratch(scratch)
            log(f"failed: {error}")
    finally:
        if config.training.sharding == "none":  # else base and process end with this run
            model.unload()


def _publish(
    layout: Layout,
    run: Run,
    model: "PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    weights: "dict[str, torch.Tensor] | None",
    rows: int,
    steps: int,
    identity: str,
) -> None:
    from equipoise.modelling.checkpoint import adapted_patterns, folder_digests, publish_folder, save_adapter

    adapter = Path(layout.adapter(run))
    part = adapter.with_name(".adapter.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_adapter(part, model, tokenizer, weights)
    Path(layout.run_manifest(run)).unlink(missing_ok=True)  # an earlier one would vouch for the new adapter
    publish_folder(part, adapter)
    content = {"rows": rows, "steps": steps, "adapted": adapted_patterns(adapter), "files": folder_digests(adapter)}
    write_manifest(layout.run_manifest(run), "run", run=vars(run), **content, fingerprint=identity)


def _record_failure(layout: Layout, run: Run, reason: str, identity: str) -> None:
    """Says in the run's manifest that there is no adapter, and why; an earlier configuration's adapter goes."""
    write_manifest(layout.run_manifest(run), "run", run=vars(run), failed=reason, fingerprint=identity)
    shutil.rmtree(layout.adapter(run), ignore_errors=True)


def run_fingerprint(config: Experiment, run: Run) -> str:
    """What a run's adapter depends on: selected rows, base, adapter, hyper-parameters, epochs, seeds."""
    from equipoise.modelling.base import adapted_in, base_identity

    layout = config.layout
    pool = read_manifest(layout.pool_manifest, "pool")["digest"]
    selection = file_digest(layout.selection(run.selector, run.selection_seed, run.budget))
    return fingerprint(
        {
            "pool": pool,
            "selection": selection,
            "base": base_identity(config.model),
            "adapted": adapted_in(config.model, config.lora),
            "config": determinants(config, "fine_tune"),
            "run": vars(run),
        }
    )


def is_finished(layout: Layout, run: Run, identity: str) -> bool:
    """Whether `run`'s adapter is there, whole, and made from the same inputs, or the same inputs have failed."""
    from equipoise.modelling.checkpoint import folder_digests

    if not Path(layout.run_manifest(run)).exists():
        return False
    manifest = read_manifest(layout.run_manifest(run), "run")
    folder = Path(layout.adapter(run))
    if "failed" in manifest:
        return manifest["fingerprint"] == identity and not folder.exists()
    return manifest["fingerprint"] == identity and folder.is_dir() and folder_digests(folder) == manifest.get("files")
