"""Stages collect_pool_gradients and collect_target_gradients: from examples and epoch checkpoints to gradient stores.

Pool rows go through Adam's map, target rows do not (method.md, "Gradients"). A job takes its rows chunk by chunk, skips chunks that are
already there, and writes its manifest last. Several epochs in one job load the base once and give the same bytes as one job per epoch.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.collecting import is_predicted, sampled_rows
from equipoise.config import Experiment
from equipoise.data.encoding import encode_file
from equipoise.data.shards import collected_plan
from equipoise.determinants import determinants
from equipoise.estimators import row_estimator
from equipoise.experiment import chooses_dimension, last_epoch, last_epochs
from equipoise.gradients.loop import Collection, collect
from equipoise.gradients.width import projection_of
from equipoise.layout import Epoch, shard_label
from equipoise.modelling.adapter import load_adapter
from equipoise.modelling.base import base_identity, load_base, load_tokenizer, resolve_device
from equipoise.modelling.checkpoint import adapter_identity, swap_adapter
from equipoise.modelling.examples import Examples
from equipoise.progress import log
from equipoise.store.artefact import open_artefact, publish
from equipoise.store.gradients import STATES, listed_arrays
from equipoise.store.manifest import fingerprint

if TYPE_CHECKING:
    from equipoise.gradients.engine import Engine
    from equipoise.gradients.estimator import Rows

STORE_FORMAT = 2


@dataclass(frozen=True)
class _Part:
    """Some rows of one store: examples of rows [start, start + len), of `rows` in the store; its manifest and what only that says."""

    store: str
    manifest: str
    of: dict[str, object]
    start: int
    rows: int
    examples: Examples
    described: dict[str, object]
    title: str


def collect_pool_gradients(config: Experiment, epochs: list[Epoch], shard: int) -> None:
    """Collects the Adam-form gradients of one shard of the pool at the checkpoints of `epochs`."""
    layout, pool = config.layout, open_artefact(config, "pool")
    rows, plan = collected_plan(config, pool)
    start, stop = plan[shard]
    tokenizer, last_turn = load_tokenizer(config.model), config.training.last_turn
    chosen = sampled_rows(config, pool["rows"]) if is_predicted(config) else None
    examples = encode_file(pool.only_file(), tokenizer, config.model.max_length, start, stop, last_turn=last_turn, chosen=chosen)

    def part(epoch: Epoch) -> _Part:
        store, manifest = layout.pool_gradients(epoch), layout.pool_gradients_manifest(epoch, shard_label(shard))
        of = {"epoch": epoch, "shard": shard_label(shard)}
        return _Part(store, manifest, of, start, rows, examples, {"shard": shard}, f"pool shard {shard}")

    _collect(config, "pool", {epoch: [part(epoch)] for epoch in epochs})


def collect_target_gradients(config: Experiment, epochs: list[Epoch], tasks: list[str]) -> None:
    """Collects the plain gradients of the validation examples of `tasks` at the checkpoints of `epochs`."""
    layout = config.layout
    tokenizer = load_tokenizer(config.model)
    longest = config.targets.longest(config.model)
    files = {task: open_artefact(config, "targets", task=task).only_file() for task in tasks}
    examples = {task: encode_file(file, tokenizer, longest, last_turn=config.training.last_turn) for task, file in files.items()}

    def part(epoch: Epoch, task: str) -> _Part:
        store, manifest = layout.target_gradients(epoch, task), layout.target_gradients_manifest(epoch, task)
        return _Part(store, manifest, {"epoch": epoch, "task": task}, 0, len(examples[task]), examples[task], {"task": task}, task)

    _collect(config, "target", {epoch: [part(epoch, task) for task in tasks] for epoch in epochs})


def collect_pool_states(config: Experiment, shard: int) -> None:
    """Collects losses and states of one shard of the pool at the first warm-up's last checkpoint, by forward passes alone."""
    layout, pool, epoch = config.layout, open_artefact(config, "pool"), last_epoch(config)
    start, stop = pool["shards"][shard]
    tokenizer, last_turn = load_tokenizer(config.model), config.training.last_turn
    examples = encode_file(pool.only_file(), tokenizer, config.model.max_length, start, stop, last_turn=last_turn)
    store, manifest = layout.pool_states(epoch), layout.pool_states_manifest(epoch, shard_label(shard))
    of = {"epoch": epoch, "shard": shard_label(shard)}
    _collect_states(config, "pool", [_Part(store, manifest, of, start, pool["rows"], examples, {"shard": shard}, f"pool shard {shard}")])


def collect_target_states(config: Experiment, tasks: list[str]) -> None:
    """Collects losses and states of the validation examples of `tasks` at the first warm-up's last checkpoint, by forward passes alone."""
    layout, epoch, parts = config.layout, last_epoch(config), []
    tokenizer, longest = load_tokenizer(config.model), config.targets.longest(config.model)
    for task in tasks:
        file = open_artefact(config, "targets", task=task).only_file()
        examples = encode_file(file, tokenizer, longest, last_turn=config.training.last_turn)
        store, manifest = layout.target_states(epoch, task), layout.target_states_manifest(epoch, task)
        parts.append(_Part(store, manifest, {"epoch": epoch, "task": task}, 0, len(examples), examples, {"task": task}, task))
    _collect_states(config, "target", parts)


def _collect_states(config: Experiment, side: str, parts: list[_Part]) -> None:
    epoch = last_epoch(config)
    determined = {
        "format": STORE_FORMAT,
        "side": side,
        "config": determinants(config, f"collect_{side}_states"),
        "base": base_identity(config.model),
        "adapter": adapter_identity(config.layout.checkpoint(epoch)),
    }
    attributes = {"settings": fingerprint(determined), "estimator": None, "side": side, "epoch": epoch, "scaled": False}
    engine = engine_at(config, epoch)
    for part in parts:
        Path(part.manifest).unlink(missing_ok=True)
        budget, title = config.gradients.token_budget, f"{part.title} states, epoch {epoch}"
        collection = Collection(part.store, part.start, part.rows, attributes, STATES, budget, title)
        _publish(config, f"{side}_states", part, collection, 0, collect(collection, part.examples, engine, None))


def settings(config: Experiment, side: str, epoch: Epoch, base: dict[str, str], rows: "Rows") -> dict[str, object]:
    """All that determines a row besides its own tokens. base: `base_identity`."""
    return {
        "format": STORE_FORMAT,
        "side": side,
        "config": determinants(config, f"collect_{side}_gradients"),
        "base": base,
        "adapter": adapter_identity(config.layout.checkpoint(epoch)),
        "inputs": rows.inputs(side, epoch),
        "states": list(_states(config, epoch)),
        **({"dimension": projection_of(config).dimension} if chooses_dimension(config) else {}),
    }


def _states(config: Experiment, epoch: Epoch) -> tuple[str, ...]:
    return STATES if epoch in last_epochs(config) else ()


def _collect(config: Experiment, side: str, parts: dict[int, list[_Part]]) -> None:
    entry = row_estimator(config.gradients)
    row_source = entry.load()(config)
    base = base_identity(config.model)
    engine = None
    for epoch in parts:
        engine = engine_at(config, epoch, engine)
        attributes = {
            "settings": fingerprint(settings(config, side, epoch, base, row_source)),
            "estimator": entry.name,
            "side": side,
            "epoch": epoch,
            "scaled": entry.scaled,
        }
        maker = row_source.maker(engine, side, epoch)
        for part in parts[epoch]:
            Path(part.manifest).unlink(missing_ok=True)
            title = f"{part.title} gradients, epoch {epoch}"
            states, budget = _states(config, epoch), config.gradients.token_budget
            collection = Collection(part.store, part.start, part.rows, attributes, states, budget, title)
            records = collect(collection, part.examples, engine, maker)
            _publish(config, f"{side}_gradients", part, collection, maker.dimension, records)


def engine_at(config: Experiment, epoch: Epoch, engine: "Engine | None" = None) -> "Engine":
    """The engine at an epoch's checkpoint; one from another epoch, if given, is taken there, so that the base is loaded once."""
    from equipoise.gradients.engine import Engine

    folder = str(open_artefact(config, "checkpoint", epoch=epoch).folder())
    if engine is None:
        base = load_base(config.model, config.gradients.precision, resolve_device(config.model.device), None, True)
        return Engine(load_adapter(base, folder), config.gradients.activation_checkpointing)
    swap_adapter(engine.model, folder)
    engine.capture.refresh()
    return engine


def _publish(config: Experiment, kind: str, part: _Part, collection: Collection, dimension: int, records: list[dict]) -> None:
    flagged = {why: sum(record[why] for record in records) for why in ("no_completion_token", "non_finite")}
    rows = len(part.examples)
    if any(flagged.values()):
        counts = f"{flagged['no_completion_token']} rows without completion token, {flagged['non_finite']} without finite gradient"
        log(f"{part.manifest}: {counts}; they cannot be selected")
    publish(
        config,
        kind,
        part.of,
        arrays=listed_arrays(part.manifest, part.store, records),
        **part.described,
        **collection.attributes,
        rows=[part.start, part.start + rows],
        dimension=dimension,
        states=list(collection.states),
        flagged=flagged,
        valid=rows - sum(flagged.values()),
        fingerprint=fingerprint([record["fingerprint"] for record in records]),
        digest=fingerprint([record["digest"] for record in records]),
        chunks=[record["digest"] for record in records],
        # rows of a batch that was halved for want of memory are promised within 1e-5, not bytewise
        halved_batches={str(record["rows"][0]): record["halved_batches"] for record in records if record["halved_batches"]},
    )
