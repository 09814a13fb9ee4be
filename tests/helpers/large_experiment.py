"""An experiment of any number of rows on disk, from pool to gradient stores and scores: what the stages between are run on at scale.

Gradients are random, one epoch; they are made and written a chunk at a time. Pool rows have about 300 bytes of text.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equipoise.config import Experiment
from equipoise.config_file import write_config
from equipoise.layout import shard_label
from equipoise.store.artefact import publish
from equipoise.store.gradient_writer import GradientStore
from equipoise.store.gradients import VALID, GradientRows, chunk_bounds
from helpers.attribution_experiment import attributes, publish_store
from helpers.experiment import write_pool, write_target
from helpers.places import REPOSITORY
from helpers.reporting_experiment import ADVANTAGE, CAPABILITIES, write_scores

BASE = REPOSITORY / "workflow" / "equipoise" / "miniature" / "base"
SELECTORS = ["random", "task_max", "sum", "instance_max", "instance_max_normalized", "bids", "round_robin"]
PER_TASK = 50
COLUMNS = PER_TASK * len(CAPABILITIES)
BUDGET = 0.1
WORDS = "the row says what a row of an instruction pool says and no more than that " * 2


def make_experiment(folder: Path, rows: int, dimension: int) -> Experiment:
    """Everything that assembly, ranking, selecting and the report read, below `folder`; the configuration lies at layout.config."""
    tasks = {
        task: {"capability": capability, "files": [str(folder / "task.jsonl")], "suite": "skills", "lm_eval_tasks": [task]}
        for task, capability in CAPABILITIES.items()
    }
    config = Experiment(
        experiment="scale",
        results=str(folder / "results"),
        model={"name": "scale", "base": str(BASE)},
        pool={"files": [str(folder / "pool.jsonl")]},
        tasks=tasks,
        suites={"skills": {}},
        targets={"size": PER_TASK},
        warmup={"epochs": 1},
        gradients={"projection": {"dimension": dimension}},
        selectors=SELECTORS,
        selection={"seeds": [0], "rank_to": BUDGET},
        budgets=[BUDGET],
    )
    write_config(config, config.layout.config)
    write_pool(config, _pool_columns(rows))
    publish(config, "checkpoint", {"epoch": 1}, epoch=1, step=1, mean_learning_rate=2e-5, fingerprint="c")
    _write_store(config, "pool_gradients", {"epoch": 1, "shard": shard_label(0)}, config.layout.pool_gradients(1), rows, dimension, 0)
    for number, task in enumerate(config.tasks, start=1):
        write_target(config, task, [(f"question {i} of {task}", f"answer {i}", True) for i in range(PER_TASK)])
        store = config.layout.target_gradients(1, task)
        _write_store(config, "target_gradients", {"epoch": 1, "task": task}, store, PER_TASK, dimension, number)
    write_scores(config.layout, config, 40, ADVANTAGE, 7)
    return config


def _pool_columns(rows: int) -> dict[str, object]:
    number = pa.array(np.arange(rows))
    texts = pc.cast(number, pa.string())
    prompt = _around("question ", texts, f" {WORDS}?")
    response = _around("answer ", texts, f" {WORDS}.")
    turns = ('[{"role":"user","content":"', prompt, '"},{"role":"assistant","content":"', response, '"}]')
    return {
        "row": number,
        "id": _around("row-", texts, ""),
        "source": _around("source-", pc.cast(pa.array(np.arange(rows) % 12), pa.string()), ""),
        "prompt": prompt,
        "response": response,
        "messages": pc.binary_join_element_wise(*turns, ""),
        "tools": pa.nulls(rows, pa.string()),
        "tokens": np.full(rows, 80, np.int32),
        "completion_tokens": np.full(rows, 40, np.int32),
        "metadata": pa.array(["{}"]).take(pa.array(np.zeros(rows, np.int64))),
    }


def _around(before: str, texts: pa.Array, behind: str) -> pa.Array:
    return pc.binary_join_element_wise(before, texts, behind, "")


def _write_store(config: Experiment, kind: str, of: dict[str, object], path: str, rows: int, dimension: int, seed: int) -> None:
    """A store of `rows` random unit rows, in one shard."""
    store, records = GradientStore(path, rows, dimension, attributes(False), {}), []
    for chunk in range(-(-rows // 1024)):
        start, stop = chunk_bounds(chunk, rows)
        count = stop - start
        directions = np.random.default_rng([seed, chunk]).standard_normal((count, dimension), dtype=np.float32)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        ones = np.ones(count, np.float32)
        flags, tokens = np.full(count, VALID, np.int8), np.full(count, 40, np.int32)
        records.append(store.write(chunk, "f", GradientRows(directions.astype(np.float16), ones, ones, tokens, flags)))
    publish_store(config, kind, of, path, records)
