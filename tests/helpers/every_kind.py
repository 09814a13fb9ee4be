"""A small artefact of every kind, published as the stages do: what the reader's tests damage."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from equipoise.attribution.matrix_store import MatrixStore
from equipoise.config import Experiment
from equipoise.config_file import parse_config, write_config
from equipoise.layout import Run
from equipoise.selectors import SCORED
from equipoise.store.artefact import open_artefact, publish
from equipoise.store.gradient_writer import GradientStore
from equipoise.store.gradients import listed_arrays
from equipoise.store.kind import run_names
from equipoise.store.kinds import KINDS
from helpers.experiment import changed, tiny_values
from helpers.rows import texts, write_jsonl
from helpers.stores import ATTRIBUTES, DIMENSION, HIDDEN, some_rows

ROWS = 12
RUNS = [Run("bids", 0, "0.1", 1, 0), Run("task_max", 0, "0.1", 1, 0)]
NAMES: dict[str, list[dict[str, str]]] = {
    "fetch": [{}],
    "base": [{}],
    "targets": [{"task": task} for task in ("first", "second")],
    "contamination": [{}],
    "pool": [{}],
    "checkpoint": [{"epoch": epoch} for epoch in "12"],
    "curvature": [{"epoch": epoch} for epoch in "12"],
    "projection": [{}],
    "pool_gradients": [{"epoch": epoch, "shard": "00000"} for epoch in "12"],
    "target_gradients": [{"epoch": "1", "task": task} for task in ("first", "second")],
    "pool_scores": [{"column": column, "shard": "00000"} for column in SCORED],
    "pool_states": [{"epoch": "2", "shard": "00000"}],
    "target_states": [{"epoch": "2", "task": task} for task in ("first", "second")],
    "matrix_shard": [{"matrix": matrix, "shard": "00000"} for matrix in ("influence", "last_token")],
    "matrix": [{"matrix": matrix} for matrix in ("influence", "last_token")],
    "influence_model": [{}],
    "ranking": [{"selector": run.selector, "selection_seed": "0"} for run in RUNS],
    "selection": [{"selector": run.selector, "selection_seed": "0", "budget": "0.1"} for run in RUNS],
    "run": [run_names(run) for run in RUNS],
    "scores": [{**run_names(run), "suite": "mine", "part": "seed-0"} for run in RUNS],
    "fold": [{"selector": run.selector, "selection_seed": "0"} for run in RUNS],
    "one_step": [{"epoch": epoch} for epoch in "12"],
    "retraining": [{"group": f"subsets-seed-{seed}", "name": "subset-000"} for seed in (0, 1)],
    "retrainings": [{"group": f"subsets-seed-{seed}"} for seed in (0, 1)],
    "validation": [{}],
}
"""Every kind, in the order in which they are made, with the artefacts of it that are made here."""


def make_every_kind(folder: Path, seed: int = 0, lm_eval_task: str = "mine", **sections: object) -> Experiment:
    """Leaves all of them below `folder`; the pool's source and all bytes depend on the seed."""
    values = tiny_values(folder, folder)
    values["tasks"]["first"] |= {"suite": "mine", "lm_eval_tasks": [lm_eval_task]}
    own = {"suites": {"mine": {}}, "pool": {"decontaminate": "remove"}, "selectors": ["bids", "task_max", "rds"]}
    own["gradients"] = {"estimator": "ekfac", "projection": {"dimension": "auto"}}
    own["validation"] = {"estimators": ["ekfac"], "subsets": {"count": 1}, "removal": {"without": [], "only": []}}
    config = parse_config(changed(changed(values, own), sections))
    for name in ("pool", "first", "second"):
        write_jsonl(folder / f"{name}.jsonl", texts(40, seed))
    write_config(config, config.layout.config)
    for kind, listed in NAMES.items():
        for place, of in enumerate(listed):
            make(config, kind, of, np.random.default_rng([seed, place, len(kind)]))
    return config


def make(config: Experiment, kind: str, of: dict[str, str], generator: np.random.Generator) -> None:
    """Publishes one artefact with random content."""
    layout, manifest = config.layout, Path(KINDS[kind].manifest(config.layout, of))
    said: dict[str, object] = {"fingerprint": str(generator.integers(1 << 30)), "digests": [str(generator.integers(1 << 30))]}
    files = {
        "targets": lambda: [layout.target(of["task"])],
        "pool": lambda: [layout.pool],
        "checkpoint": lambda: [f"{layout.checkpoint(of['epoch'])}/{name}" for name in ("adapter_model.safetensors", "state.json")],
        "curvature": lambda: [f"{layout.curvature(of['epoch'])}/{name}.safetensors" for name in ("bases", "eigenvalues")],
        "matrix_shard": lambda: [str(manifest).replace(".json", ".moments.npy")],
        "influence_model": lambda: [layout.influence_model],
        "ranking": lambda: [layout.ranking(**of)],
        "selection": lambda: [layout.selection(**of)],
        "run": lambda: [f"{manifest.parent}/adapter/adapter_model.safetensors"],
        "scores": lambda: [str(manifest).replace(".json", ".samples.jsonl")],
        "one_step": lambda: [f"{layout.one_step(of['epoch'])}/start.safetensors"],
        "validation": lambda: [layout.validation_points],
    }.get(kind, list)()
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_bytes(generator.bytes(300))
    if kind == "fold":
        files = [KINDS["scores"].manifest(layout, names) for names in NAMES["scores"] if names["selector"] == of["selector"]]
    if kind == "retrainings":
        files = [KINDS["retraining"].manifest(layout, names) for names in NAMES["retraining"] if names["group"] == of["group"]]
    if kind == "projection":
        said |= {"projection": "sketch", "dimension": DIMENSION}
    arrays = None
    if kind in ("pool_gradients", "target_gradients"):
        store = layout.pool_gradients(of["epoch"]) if kind == "pool_gradients" else layout.target_gradients(of["epoch"], of["task"])
        writer = GradientStore(store, ROWS, DIMENSION, ATTRIBUTES, {"last_token": HIDDEN, "position_weighted": HIDDEN})
        records = [writer.write(0, "f", some_rows(ROWS, int(generator.integers(1 << 30))))]
        arrays, said = listed_arrays(manifest, store, records), {**said, **ATTRIBUTES, "rows": [0, ROWS]}
    if kind in ("pool_scores", "pool_states", "target_states"):
        store = getattr(layout, kind)(*(name for key, name in of.items() if key != "shard"))
        writer = GradientStore(store, ROWS, 0, ATTRIBUTES | {"estimator": None}, {"last_token": HIDDEN, "position_weighted": HIDDEN})
        whole = some_rows(ROWS, int(generator.integers(1 << 30)))
        records = [writer.write(0, "f", replace(whole, directions=np.empty((ROWS, 0), np.float16)))]
        arrays, said = listed_arrays(manifest, store, records), {**said, **ATTRIBUTES, "rows": [0, ROWS]}
    if kind in ("matrix_shard", "matrix"):
        writer = MatrixStore(layout.matrix(of["matrix"]), ROWS, 3, "i")
        if kind == "matrix_shard":
            writer.write(0, generator.standard_normal((ROWS, 3)).astype(np.float32), np.ones(ROWS, bool))
        arrays = writer.listed(0, ROWS)
    publish(config, kind, of, files, arrays, **said)


def read_whole(config: Experiment, kind: str, of: dict[str, str]) -> None:
    """Everything of an artefact, as readers reach it."""
    artefact = open_artefact(config, kind, **of)
    for name in artefact.files:
        artefact.file(name)
    for name in artefact.get("arrays") or {}:
        artefact.array(name, ROWS).read(0, ROWS)
