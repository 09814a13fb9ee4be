"""A small experiment on disk, from pool to gradient stores, with random gradients: what attribution and selection start from."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equipoise.config import Experiment
from equipoise.config_file import parse_config
from equipoise.data.shards import plan_shards
from equipoise.layout import Layout, shard_label
from equipoise.selectors import SCORED
from equipoise.store.artefact import publish
from equipoise.store.gradient_writer import GradientStore
from equipoise.store.gradients import NO_COMPLETION_TOKEN, VALID, GradientRows, chunk_bounds, listed_arrays
from equipoise.store.kinds import KINDS
from equipoise.store.manifest import fingerprint
from helpers.experiment import changed, tiny_values, write_pool, write_target

DIMENSION, HIDDEN = 16, 6
RATES = (3e-5, 1e-5)


@dataclass
class Prepared:
    """The experiment, its paths and the stored rows: pool[epoch] and target[epoch][task], and which pool rows are valid."""

    config: Experiment
    layout: Layout
    pool: dict[int, GradientRows]
    targets: dict[int, dict[str, GradientRows]]
    valid: np.ndarray


def make_rows(rng, count, flagged=(), states=False):
    """Random rows; a longer store begins with the rows of a shorter one of the same seed."""
    size = max(count, 4096)
    directions = rng.standard_normal((size, DIMENSION))[:count]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions = directions.astype(np.float16)
    status = np.full(count, VALID, np.int8)
    for row in flagged:
        directions[row], status[row] = np.nan, NO_COMPLETION_TOKEN
    kept = {}
    if states:
        for kind in ("last_token", "position_weighted"):
            state = rng.standard_normal((size, HIDDEN))[:count]
            kept[kind] = (state / np.linalg.norm(state, axis=1, keepdims=True)).astype(np.float16)
    norm = rng.uniform(0.5, 2, size)[:count].astype(np.float32)
    return GradientRows(directions, norm, norm.copy(), np.full(count, 5, np.int32), status, kept)


def part_of(rows, start, stop):
    return GradientRows(
        rows.directions[start:stop], rows.norm[start:stop], rows.loss[start:stop], rows.tokens[start:stop], rows.status[start:stop],
        {name: state[start:stop] for name, state in rows.states.items()},
    )  # fmt: skip


def write_store(path, rows, scaled, start=0, stop=None, total=None):
    """Writes rows [start, stop) of `rows` and returns the records of their chunks."""
    total = len(rows.norm) if total is None else total
    stop = total if stop is None else stop
    store = GradientStore(path, total, DIMENSION, attributes(scaled), {name: HIDDEN for name in rows.states})
    records = []
    for chunk in range(start // 1024, -(-stop // 1024)):
        low, high = chunk_bounds(chunk, total)
        records.append(store.write(chunk, "f", part_of(rows, low, high)))
    return records


def experiment(folder: Path, tasks, shards=1) -> Experiment:
    own = {
        "pool": {"shards": shards},
        "targets": {"size": 3},
        "tasks": {task: {"capability": task, "files": ["x.jsonl"]} for task in tasks},
        "warmup": {"epochs": len(RATES)},
        "selection": {"rank_to": 1.0},
    }
    return parse_config(changed(tiny_values(folder, folder), own))


def pool_columns(rows: int) -> dict[str, object]:
    tokens = np.full(rows, 5, np.int32)
    tokens[7 % rows] = 0
    return {
        "row": np.arange(rows), "id": [f"id{i}" for i in range(rows)], "source": ["s"] * rows,
        "prompt": [f"prompt {i}" for i in range(rows)], "response": [f"response {i}" for i in range(rows)],
        "messages": [json.dumps(conversation(i)) for i in range(rows)], "tools": [None] * rows,
        "tokens": tokens, "completion_tokens": tokens,
        "metadata": [json.dumps({"oracle_rank": rows - i if i % 2 else None}) for i in range(rows)],
    }  # fmt: skip


def prepare(
    folder: Path, rows=2500, tasks=("gsm", "code"), shards=1, flagged=(7, 1030), seed=0, scaled=False, examples=3, columns=None
) -> Prepared:
    """Everything before `assemble_attribution`, rows flagged in the first epoch only. columns: of the pool, instead of those it has."""
    config = experiment(folder, tasks, shards)
    layout = config.layout
    plan = write_pool(config, pool_columns(rows) | (columns or {}), shards)
    epochs = range(1, len(RATES) + 1)
    pool = {e: make_rows(np.random.default_rng([seed, e]), rows, flagged if e == 1 else (), states=e == len(RATES)) for e in epochs}
    targets = {
        e: {task: make_rows(np.random.default_rng([seed, e, k]), examples, states=e == len(RATES)) for k, task in enumerate(tasks)}
        for e in epochs
    }
    for task in tasks:
        write_target(config, task, [(f"question {task}/{i}", f"answer {task}/{i}", True) for i in range(examples)])
    for e in epochs:
        publish(config, "checkpoint", {"epoch": e}, epoch=e, step=e, mean_learning_rate=RATES[e - 1], fingerprint="c")
        for shard, (start, stop) in enumerate(plan):
            records = write_store(layout.pool_gradients(e), pool[e], scaled, start, stop, rows)
            publish_store(config, "pool_gradients", {"epoch": e, "shard": shard_label(shard)}, layout.pool_gradients(e), records, scaled)
        for task in tasks:
            records = write_store(layout.target_gradients(e, task), targets[e][task], scaled)
            publish_store(config, "target_gradients", {"epoch": e, "task": task}, layout.target_gradients(e, task), records, scaled)
    valid = np.ones(rows, bool)
    valid[list(flagged)] = False
    return Prepared(config, layout, pool, targets, valid)


def write_store_of(config: Experiment, kind: str, epoch: int, rows: GradientRows, ranges: list[list[int]], **said) -> None:
    """Leaves a store of the pool's rows at an epoch, cut into shards of these ranges; said: attributes that differ."""
    path, marks = getattr(config.layout, kind)(epoch), attributes(False) | said
    store = GradientStore(path, len(rows.norm), rows.directions.shape[1], marks, {name: HIDDEN for name in rows.states})
    for shard, (start, stop) in enumerate(ranges):
        chunks = [chunk_bounds(chunk, len(rows.norm)) for chunk in range(start // 1024, -(-stop // 1024))]
        records = [store.write(low // 1024, "f", part_of(rows, low, high)) for low, high in chunks]
        publish_store(config, kind, {"epoch": epoch, "shard": shard_label(shard)}, path, records, False, **said)


def write_scores(prepared: Prepared, shards: int) -> None:
    """Leaves the losses of the untuned base, as `score_pool` does."""
    config, rows = prepared.config, len(prepared.valid)
    marks = attributes(False) | {"estimator": None}
    for number, column in enumerate(SCORED):
        loss = np.random.default_rng(number).uniform(0.5, 3, rows).astype(np.float32)
        path, nothing = prepared.layout.pool_scores(column), np.full(rows, np.nan, np.float32)
        store = GradientStore(path, rows, 0, marks, {})
        whole = GradientRows(np.empty((rows, 0), np.float16), nothing, loss, np.full(rows, 5, np.int32), np.full(rows, VALID, np.int8))
        for shard, (start, stop) in enumerate(plan_shards(rows, shards)):
            chunks = [chunk_bounds(chunk, rows) for chunk in range(start // 1024, -(-stop // 1024))]
            records = [store.write(low // 1024, "f", part_of(whole, low, high)) for low, high in chunks]
            publish_store(config, "pool_scores", {"column": column, "shard": shard_label(shard)}, path, records, False, estimator=None)


def attributes(scaled: bool) -> dict[str, object]:
    return {"settings": "s", "estimator": "tracin" if scaled else "less", "side": "pool", "epoch": 1, "scaled": scaled}


def publish_store(config: Experiment, kind: str, of: dict[str, object], store: str, records: list[dict], scaled=False, **said) -> None:
    """Leaves the manifest of a job that wrote these chunks of a store."""
    arrays = listed_arrays(KINDS[kind].manifest(config.layout, of), store, records)
    rows, digest = [records[0]["rows"][0], records[-1]["rows"][1]], fingerprint([record["digest"] for record in records])
    publish(config, kind, of, arrays=arrays, **(attributes(scaled) | said), rows=rows, fingerprint="f", digest=digest)


def conversation(row: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"prompt {row}"}, {"role": "assistant", "content": f"response {row}"}]
