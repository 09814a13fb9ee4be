"""A whole experiment's result files, generated in the formats the stages write: what the report's tests read.

Influence has the paper's shape (columns on scales several times apart, heavy tails); scores are Bernoulli items with item
difficulty, a run effect and a known advantage of each selector, so that a test knows what a right report must say.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from equipoise.attribution.matrix_store import MatrixStore
from equipoise.budgets import budget_label, budget_rows
from equipoise.config import Experiment
from equipoise.config_file import write_config
from equipoise.experiment import experiment_runs, selection_seeds
from equipoise.files import canonical_json, file_digest
from equipoise.layout import CHUNK_ROWS, Layout, Run
from equipoise.selectors import selector
from equipoise.store.artefact import publish
from equipoise.store.kind import scores_names
from equipoise.store.manifest import fingerprint
from helpers.experiment import write_pool
from helpers.stores import ATTRIBUTES, write_store

CAPABILITIES = {
    "trace": "coding",
    "code": "coding",
    "gsm": "math",
    "math": "math",
    "logic": "logic",
    "know": "knowledge",
    "form": "instruction following",
}
SOURCES = ("code_alpha", "gsm_book", "math_drill", "logic_lab", "chat")
SELECTORS = ["random", "task_max", "sum", "instance_max", "instance_max_normalized", "rds", "bids", "round_robin", "full", "oracle"]
FEW = {"selectors": ["random", "bids", "full"], "budgets": (0.1,), "extra": [], "items": 12, "rows": 60, "per_task": 2}
"""Settings of the smallest experiment with something to compare."""
# points of log-odds above zero-shot
ADVANTAGE = {
    "zero_shot": -1.2,
    "random": 0.0,
    "task_max": 0.15,
    "sum": 0.35,
    "instance_max": 0.3,
    "instance_max_normalized": 0.5,
    "rds": 0.1,
    "bids": 0.8,
    "round_robin": 0.75,
    "full": 0.7,
    "oracle": 1.2,
}


def make_experiment(
    results: Path,
    *,
    name: str = "synthetic",
    model: str = "tiny",
    rows: int = 240,
    per_task: int = 6,
    items: int = 40,
    budgets: tuple[float | int, ...] = (0.05, 0.1, 0.15),
    selectors: list[str] | None = None,
    seeds: tuple[int, ...] = (0, 1, 2),
    suite_seeds: tuple[int, ...] = (0, 1, 2),
    extra: list[dict[str, object]] | None = None,
    advantage: dict[str, float] | None = None,
    seed: int = 7,
    dressed: Callable[[str], str] = str,
) -> Experiment:
    """Writes every file the report reads below `results`; returns the configuration. dressed: applied to every free name and text."""
    tasks = {
        task: {
            "capability": dressed(capability),
            "files": [f"resources/miniature/noisy-0/{task}.jsonl"],
            "suite": "instructions" if task == "form" else "skills",
            "lm_eval_tasks": [task],
        }
        for task, capability in CAPABILITIES.items()
    }
    config = Experiment(
        experiment=name,
        results=str(results),
        model={"name": model, "base": "resources/base"},
        pool={"files": ["resources/miniature/noisy-0/pool.jsonl"]},
        tasks=tasks,
        suites={"skills": {}, "instructions": {"temperature": 0.7, "seeds": list(suite_seeds)}},
        budgets=list(budgets),
        selectors=selectors or SELECTORS,
        finetune={
            "seeds": list(seeds),
            "full_epochs": [4],
            "extra": [{"selector": "bids", "budget": budgets[-1], "epochs": 4}] if extra is None else extra,
        },
        targets={"size": per_task},
        miniature={},
    )
    layout = config.layout
    generator = np.random.default_rng(seed)
    write_config(config, layout.config)
    metadata = _write_pool(config, rows, generator, dressed)
    _write_targets(config, per_task, dressed)
    matrix = _write_matrix(layout, config, rows, per_task, generator)
    for epoch in range(1, config.warmup.epochs + 1):
        write_store(layout.pool_gradients(epoch), rows, ATTRIBUTES | {"epoch": epoch}, chunks=range(-(-rows // CHUNK_ROWS)))
    for number, selector_name in enumerate(config.selectors):
        if selector(selector_name).chooses:
            _write_selections(layout, config, selector_name, matrix, metadata, np.random.default_rng([seed, number]), dressed)
    write_scores(layout, config, items, ADVANTAGE | (advantage or {}), seed, dressed)
    return config


def _write_pool(config: Experiment, rows: int, generator: np.random.Generator, dressed: Callable[[str], str]) -> list[dict[str, object]]:
    sources = [SOURCES[i] for i in generator.choice(len(SOURCES), rows, p=[0.35, 0.3, 0.15, 0.1, 0.1])]
    kinds = generator.choice(["right", "wrong", "verbose", "off_task"], rows, p=[0.55, 0.15, 0.2, 0.1])
    metadata = [
        {"kind": str(kind), "duplicate_of": "pool-00001" if row % 9 == 5 else None, "oracle_rank": int(rank)}
        for row, (kind, rank) in enumerate(zip(kinds, generator.permutation(rows), strict=True))
    ]
    columns = {
        "row": np.arange(rows, dtype=np.int64),
        "id": [dressed(f"pool-{row:05d}") for row in range(rows)],
        "source": [dressed(source) for source in sources],
        "prompt": [dressed(f"what does dup tail print for input {row} & {row % 7} <b>?") for row in range(rows)],
        "response": [dressed(f"it prints {row % 13}_{row % 5} 100 %") for row in range(rows)],
        "tokens": generator.integers(12, 47, rows).astype(np.int32),
        "completion_tokens": np.r_[0, generator.integers(3, 12, rows - 1)].astype(np.int32),
        "metadata": [json.dumps(fields) for fields in metadata],
    }
    write_pool(config, columns)
    return metadata


def _write_targets(config: Experiment, per_task: int, dressed: Callable[[str], str]) -> None:
    for task in config.tasks:
        examples = {
            "id": [dressed(f"{task}-{number}") for number in range(per_task)],
            "prompt": [dressed(f"validation question {number} of {task} & <i>?") for number in range(per_task)],
            "response": [dressed(f"answer {number}_{task}") for number in range(per_task)],
        }
        path = Path(config.layout.target(task))
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(examples), path)
        publish(config, "targets", {"task": task}, [path])


def _write_matrix(layout: Layout, config: Experiment, rows: int, per_task: int, generator: np.random.Generator) -> np.ndarray:
    """float32 [rows, tasks * per_task]; row 0 is flagged (it has no completion token) and all-NaN."""
    tasks = list(config.tasks)
    scale = np.repeat(np.geomspace(0.01, 0.07, len(tasks)), per_task) * generator.uniform(0.6, 1.6, len(tasks) * per_task)
    taste = generator.integers(0, len(tasks), rows)
    affinity = np.where(taste[:, None] == np.repeat(np.arange(len(tasks)), per_task)[None, :], 1.2, 0.0)
    noise = generator.standard_t(5, (rows, len(tasks) * per_task))
    matrix = ((affinity + noise + generator.normal(0, 0.7, len(scale))) * scale).astype(np.float32)
    valid = np.arange(rows) > 0
    matrix[~valid] = np.nan
    columns = [{"task": task, "id": f"{task}-{number}"} for task in tasks for number in range(per_task)]
    for name in ("influence", "last_token"):
        store = MatrixStore(layout.matrix(name), rows, matrix.shape[1], fingerprint(columns))
        for start in range(0, rows, CHUNK_ROWS):
            store.write(start, matrix[start : start + CHUNK_ROWS], valid[start : start + CHUNK_ROWS])
        publish(
            config,
            "matrix",
            {"matrix": name},
            arrays=store.listed(0, rows),
            rows=rows,
            columns=columns,
            valid_rows=int(valid.sum()),
            mean=matrix[valid].mean(axis=0, dtype=np.float64).tolist(),
            std=matrix[valid].std(axis=0, dtype=np.float64, ddof=1).tolist(),
            digest="",
            fingerprint="",
        )
    return matrix


def _order(name: str, matrix: np.ndarray, metadata: list[dict[str, object]], per_task: int, generator: np.random.Generator) -> np.ndarray:
    """Row order of a selector: the simple rules for what they are, chance for the others."""
    valid = np.arange(1, len(matrix))
    known = matrix[1:]
    normal = (known - known.mean(axis=0)) / known.std(axis=0, ddof=1)
    by_task = known.reshape(len(known), -1, per_task).mean(axis=2)
    scores = {
        "task_max": by_task.max(axis=1),
        "sum": known.sum(axis=1),
        "instance_max": known.max(axis=1),
        "instance_max_normalized": normal.max(axis=1),
        "bids": normal.max(axis=1) + generator.normal(0, 0.3, len(known)),
        "oracle": -np.array([fields["oracle_rank"] for fields in metadata[1:]], float),
    }
    return valid[np.argsort(-scores.get(name, generator.random(len(known))), kind="stable")]


def _write_selections(
    layout: Layout,
    config: Experiment,
    name: str,
    matrix: np.ndarray,
    metadata,
    generator: np.random.Generator,
    dressed: Callable[[str], str],
) -> None:
    per_task = config.targets.size
    pool = pq.read_table(layout.pool).to_pylist()
    tasks = [task for task in config.tasks for _ in range(per_task)]
    explained = selector(name).matrix is not None
    for selection_seed in selection_seeds(config, name):
        order = _order(name, matrix, metadata, per_task, generator)
        columns = np.where(explained, np.nanargmax(matrix[order], axis=1), -1).astype(np.int64)
        scores = np.sort(generator.normal(size=len(order)))[::-1]
        depth = budget_rows(0.25, len(order))
        ranking = pa.table(
            {
                "rank": np.arange(depth, dtype=np.int64),
                "row": order[:depth].astype(np.int64),
                "score": scores[:depth],
                "column": columns[:depth],
                "margin": np.abs(generator.normal(size=depth)),
            }
        )
        path = Path(layout.ranking(name, selection_seed))
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(ranking, path)
        publish(config, "ranking", {"selector": name, "selection_seed": selection_seed}, [path])
        for budget in config.budgets:
            picks = []
            for rank in range(budget_rows(budget, len(order))):
                row, column = int(order[rank]), int(columns[rank])
                record = pool[row]
                picks.append(
                    {
                        "messages": [{"role": "user", "content": record["prompt"]}, {"role": "assistant", "content": record["response"]}],
                        "id": record["id"],
                        "row": row,
                        "rank": rank,
                        "score": float(scores[rank]),
                        "margin": 0.1,
                        "column": column,
                        "validation_id": dressed(f"{tasks[column]}-{column % per_task}") if explained else None,
                        "task": tasks[column] if explained else None,
                        "top_tasks": list(config.tasks)[:3],
                        "source": record["source"],
                    }
                )
            path = Path(layout.selection(name, selection_seed, budget_label(budget)))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(canonical_json(pick) + "\n" for pick in picks), encoding="utf-8")
            of = {"selector": name, "selection_seed": selection_seed, "budget": budget_label(budget)}
            publish(config, "selection", of, [path])


SANDBOX = {"mode": "bubblewrap", "version": "bubblewrap 0.8.0"}
"""What model-written programs ran in, in every experiment."""


def write_scores(layout: Layout, config: Experiment, items: int, advantage: dict[str, float], seed: int, dressed=str) -> None:
    """Leaves the scores and samples of all runs."""
    tasks = list(config.tasks)
    difficulty = np.random.default_rng([seed, 1]).normal(0, 1.3, (len(tasks), items))
    level = np.linspace(-1.0, 0.8, len(tasks))
    for number, run in enumerate(experiment_runs(config)):
        generator = np.random.default_rng([seed, 2, number])
        gain = advantage[run.selector] + (0.3 * np.log10(float(run.budget) * 20) if selector(run.selector).trains else 0.0)
        effect = generator.normal(0, 0.08, len(tasks))
        for suite, settings in config.suites.items():
            for suite_seed in settings.seeds:
                lines, scores = [], {}
                for place, task in enumerate(tasks):
                    if config.tasks[task].suite != suite:
                        continue
                    odds = level[place] + gain + effect[place] - difficulty[place]
                    right = generator.random(items) < 1 / (1 + np.exp(-odds))
                    lines += [_sample(task, item, bool(right[item]), run, dressed) for item in range(items)]
                    error = 100 * float(right.std(ddof=1) / np.sqrt(items))
                    scores[task] = {"metric": "exact_match,none", "score": 100 * float(right.mean()), "stderr": error, "items": items}
                path = Path(layout.samples(run, suite, suite_seed))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
                publish(
                    config,
                    "scores",
                    scores_names(run, suite, suite_seed),
                    [path],
                    run=vars(run),
                    suite=suite,
                    suite_seed=suite_seed,
                    tasks=scores,
                    sandbox=SANDBOX,
                    samples_digest=file_digest(path),
                    fingerprint=fingerprint([vars(run), suite]),
                )


def _sample(task: str, item: int, right: bool, run: Run, dressed: Callable[[str], str]) -> dict[str, object]:
    return {
        "task": task,
        "lm_eval_task": task,
        "doc_id": item,
        "content_hash": fingerprint([task, item])[:16],
        "prompt": dressed(f"find the value of {item} * 7 + 9 modulo 5 .\nanswer with one_word & 100 % <care>"),
        "target": dressed(str(item % 5)),
        "response": dressed(str(item % 5) if right else f"{run.selector} says {item % 5 + 1}"),
        "score": 1.0 if right else 0.0,
    }
