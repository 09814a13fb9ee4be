"""Fine-tunes the target model M_t: a fresh LoRA adapter on a selection (method.md, "Training and evaluation")."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.config import Experiment
from equipoise.determinants import determinants
from equipoise.layout import Run
from equipoise.process import first_process
from equipoise.progress import log
from equipoise.seeds import derive_seed
from equipoise.store.artefact import Artefact, is_made, open_artefact, publish
from equipoise.store.kind import run_names
from equipoise.store.manifest import fingerprint
from equipoise.training.divergence import Diverged, failure
from equipoise.training.resumption import open_scratch, remove_scratch

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from equipoise.modelling.examples import Examples


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
    from equipoise.training.training_set import encoded_once

    layout = config.layout
    folder, identity = Path(layout.run(run)), run_fingerprint(config, run)
    scratch = folder / "trainer"
    if is_finished(config, run, identity):
        reason = failure(config, run)
        log(f"{run.path}: already there" + (f", failed: {reason}" if reason else ""))
        if first_process():
            remove_scratch(scratch)  # a kill may have left it
        return
    if first_process():
        open_scratch(scratch, identity)
    tokenizer = load_tokenizer(config.model)
    examples = encoded_once(scratch, identity, lambda: _examples(config, run))
    log(f"{run.path}: {len(examples):,} examples, {run.epochs} epochs")
    # The seed leaves the selector out: arms of equal seed start from the same adapter.
    base = base if base is not None else load_base(config.model, config.model.precision, loading_device(config))
    model = attach_adapter(base, config.lora, derive_seed(config.seed, "finetune.adapter", run.seed))
    seed = derive_seed(config.seed, "finetune.data", run.seed)
    try:
        trainer = train(config, run.path, model, examples, pad_token(tokenizer), int(run.epochs), seed, scratch, folder / "tensorboard")
        weights = gather_adapter(model) if config.training.sharding != "none" else None
        if first_process():
            _publish(config, run, model, tokenizer, weights, len(examples), trainer.state.global_step, identity)
            remove_scratch(scratch)
    except Diverged as error:
        if first_process():
            _record_failure(config, run, str(error), identity)
            remove_scratch(scratch)
            log(f"failed: {error}")
    finally:
        if config.training.sharding == "none":  # else base and process end with this run
            model.unload()


def share_run_examples(config: Experiment, run: Run) -> None:
    """Encodes the examples of a run that several processes train, before these start."""
    from equipoise.training.training_set import share_examples

    identity = run_fingerprint(config, run)
    if not is_finished(config, run, identity):
        share_examples(Path(config.layout.run(run)) / "trainer", identity, lambda: _examples(config, run))


def _examples(config: Experiment, run: Run) -> "Examples":
    from equipoise.modelling.base import load_tokenizer
    from equipoise.training.training_set import pool_examples, selected_rows

    rows = selected_rows(_selection(config, run).only_file())
    return pool_examples(config, load_tokenizer(config.model), open_artefact(config, "pool").only_file(), rows)


def _publish(
    config: Experiment,
    run: Run,
    model: "PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    weights: "dict[str, torch.Tensor] | None",
    rows: int,
    steps: int,
    identity: str,
) -> None:
    from equipoise.modelling.checkpoint import adapted_patterns, publish_folder, save_adapter

    layout = config.layout
    adapter = Path(layout.adapter(run))
    part = adapter.with_name(".adapter.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_adapter(part, model, tokenizer, weights)
    Path(layout.run_manifest(run)).unlink(missing_ok=True)  # an earlier one would vouch for the new adapter
    publish_folder(part, adapter)
    content = {"rows": rows, "steps": steps, "adapted": adapted_patterns(adapter)}
    publish(config, "run", run_names(run), sorted(adapter.iterdir()), run=vars(run), **content, fingerprint=identity)


def _record_failure(config: Experiment, run: Run, reason: str, identity: str) -> None:
    """Says in the run's manifest that there is no adapter, and why; an earlier configuration's adapter goes."""
    publish(config, "run", run_names(run), run=vars(run), failed=reason, fingerprint=identity)
    shutil.rmtree(config.layout.adapter(run), ignore_errors=True)


def run_fingerprint(config: Experiment, run: Run) -> str:
    """What a run's adapter depends on: selected rows, base, adapter, hyper-parameters, epochs, seeds."""
    from equipoise.modelling.base import adapted_in, base_identity

    pool, selection = open_artefact(config, "pool")["digest"], _selection(config, run)
    ((_, digest),) = selection["files"].values()
    return fingerprint(
        {
            "pool": pool,
            "selection": digest,
            "base": base_identity(config.model),
            "adapted": adapted_in(config.model, config.lora),
            "config": determinants(config, "fine_tune"),
            "run": vars(run),
        }
    )


def _selection(config: Experiment, run: Run) -> Artefact:
    return open_artefact(config, "selection", selector=run.selector, selection_seed=run.selection_seed, budget=run.budget)


def is_finished(config: Experiment, run: Run, identity: str) -> bool:
    """Whether `run`'s adapter is there, whole, and made from the same inputs, or the same inputs have failed."""
    made = is_made(config, "run", **run_names(run))
    if made is None or made["fingerprint"] != identity:
        return False
    folder = Path(config.layout.adapter(run))
    if made.get("failed"):
        return not folder.exists()
    return {f"adapter/{path.name}" for path in folder.iterdir()} == set(made.files)
