"""Stages collect_pool_gradients and collect_target_gradients: from examples and epoch checkpoints to gradient stores.

Pool rows go through Adam's map, target rows do not (method: gradients). A job takes its rows chunk by chunk, skips chunks that are already
there, and writes its manifest last. Several epochs in one job load the base once and give the same bytes as a job an epoch.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from equipoise.config import Experiment
from equipoise.gradients.checkpoint import adapter_identity, load_checkpoint, load_moments, moments_identity, swap_adapter
from equipoise.gradients.examples import encode_file
from equipoise.gradients.loop import Collection, collect
from equipoise.layout import Layout, shard_label
from equipoise.modelling.base import base_identity, load_base, load_tokenizer, resolve_device
from equipoise.modelling.chat import Encoded
from equipoise.progress import log
from equipoise.store.gradients import STATES
from equipoise.store.manifest import fingerprint, read_manifest, write_manifest

STORE_FORMAT = 1


@dataclass(frozen=True)
class _Part:
    """Some rows of one store: examples of rows [start, start + len), of `rows` in the store; its manifest and what that says besides."""

    store: str
    manifest: str
    start: int
    rows: int
    examples: list[Encoded]
    described: dict[str, object]


def collect_pool_gradients(config: Experiment, epochs: list[int], shard: int) -> None:
    """Collects the Adam-form gradients of one shard of the pool at the checkpoints of `epochs`."""
    layout = Layout(config.results, config.experiment, config.model.name)
    pool = read_manifest(layout.pool_manifest, "pool")
    start, stop = pool["shards"][shard]
    examples = encode_file(layout.pool, load_tokenizer(config.model), config.model.max_length, start, stop)
    parts = {
        epoch: [
            _Part(
                layout.pool_gradients(epoch),
                layout.pool_gradients_manifest(epoch, shard_label(shard)),
                start,
                pool["rows"],
                examples,
                {"shard": shard},
            )
        ]
        for epoch in epochs
    }
    _collect(config, layout, "pool", parts)


def collect_target_gradients(config: Experiment, epochs: list[int], tasks: list[str]) -> None:
    """Collects the plain gradients of the validation examples of `tasks` at the checkpoints of `epochs`."""
    layout = Layout(config.results, config.experiment, config.model.name)
    tokenizer = load_tokenizer(config.model)
    examples = {task: encode_file(layout.target(task), tokenizer, config.model.max_length) for task in tasks}
    parts = {
        epoch: [
            _Part(
                layout.target_gradients(epoch, task),
                layout.target_gradients_manifest(epoch, task),
                0,
                len(examples[task]),
                examples[task],
                {"task": task},
            )
            for task in tasks
        ]
        for epoch in epochs
    }
    _collect(config, layout, "target", parts)


def settings(config: Experiment, layout: Layout, side: str, epoch: int, base: dict[str, str]) -> dict[str, object]:
    """All that determines a row besides its own tokens; base: `base_identity`."""
    folder = layout.checkpoint(epoch)
    return {
        "format": STORE_FORMAT,
        "side": side,
        "base": base,
        "adapter": adapter_identity(folder),
        "moments": moments_identity(folder) if side == "pool" else None,
        "gradients": config.gradients.model_dump(exclude={"activation_checkpointing"}),
        "seed": config.seed,
        "states": list(_states(config, epoch)),
    }


def _states(config: Experiment, epoch: int) -> tuple[str, ...]:
    return STATES if epoch == config.warmup.epochs else ()


def _collect(config: Experiment, layout: Layout, side: str, parts: dict[int, list[_Part]]) -> None:
    from equipoise.gradients.engine import Engine

    base_id = base_identity(config.model)
    base = load_base(config.model, config.gradients.precision, resolve_device(config.model.device))
    model = engine = None
    for epoch, of_epoch in parts.items():
        if model is None:
            model = load_checkpoint(base, layout.checkpoint(epoch))
            engine = Engine(model)
        else:
            swap_adapter(model, layout.checkpoint(epoch))
            engine.capture.refresh()
        determined = settings(config, layout, side, epoch, base_id)
        attributes = {"settings": fingerprint(determined), "estimator": "less", "side": side, "epoch": epoch, "scaled": False}
        maker = _maker(config, layout, side, epoch, engine)
        for part in of_epoch:
            collection = Collection(part.store, part.start, part.rows, attributes, _states(config, epoch), config.gradients.token_budget)
            records = collect(collection, part.examples, engine, maker)
            _write_manifest(part, side, attributes, maker.dimension, list(_states(config, epoch)), records)


def _maker(config, layout, side, epoch, engine):
    from equipoise.gradients.adam import adam_constants
    from equipoise.gradients.projection import build_projector
    from equipoise.gradients.rows import LoraRows

    shapes = engine.capture.shapes
    projector = build_projector(config.gradients.projection, {name: a * b for name, (a, b) in shapes.items()}, config.seed)
    if side == "target":
        return LoraRows(projector)
    moments = load_moments(layout.checkpoint(epoch), shapes)
    return LoraRows(projector, adam_constants(moments, config.gradients.adam_form, engine.device))


def _write_manifest(part: _Part, side: str, attributes: dict, dimension: int, states: list[str], records: Iterable[dict]) -> None:
    records = list(records)
    flagged = {kind: sum(record[kind] for record in records) for kind in ("no_completion_token", "non_finite")}
    rows = len(part.examples)
    if any(flagged.values()):
        log(
            f"{part.manifest}: {flagged['no_completion_token']} rows without completion token, {flagged['non_finite']} with no finite gradient"
        )
    write_manifest(
        part.manifest,
        f"{side}_gradients",
        **part.described,
        **attributes,
        rows=[part.start, part.start + rows],
        dimension=dimension,
        states=states,
        flagged=flagged,
        valid=rows - sum(flagged.values()),
        fingerprint=fingerprint([record["fingerprint"] for record in records]),
        digest=fingerprint([record["digest"] for record in records]),
        chunks=[record["digest"] for record in records],
        halved_batches=sum(record["halved_batches"] for record in records),
    )
