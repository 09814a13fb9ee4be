"""The tiny experiment up to the gradient stages: pool, targets, epoch checkpoints of random adapters."""

from pathlib import Path

from equipoise.config import Experiment
from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool
from equipoise.estimators import row_estimator
from equipoise.experiment import epochs as checkpoints
from equipoise.layout import Epoch
from equipoise.store.artefact import publish
from helpers.base import tiny_base, write_checkpoint
from helpers.experiment import changed, tiny_values, write_target
from helpers.rows import WORDS, write_jsonl


def sentence(number: int, words: int) -> str:
    """A text that depends on its arguments alone."""
    return " ".join(WORDS[(number * 7 + i * (1 + number % 5)) % len(WORDS)] for i in range(words))


def make_experiment(folder: Path, rows: int = 20, epochs: int = 2, drawn: int = 3, **sections: object) -> Experiment:
    """Config and everything the gradient stages read. Row 4 of the pool has no completion token left after truncation."""
    records = [
        {"id": f"p{i}", "prompt": sentence(i, 200 if i == 4 else 6 + 6 * (i % 3)), "response": sentence(i + 1, 6 + 6 * (i % 4))}
        for i in range(rows)
    ]
    pool = write_jsonl(folder / "sentences.jsonl", records)
    own = {
        "model": {"max_length": 96},
        "lora": {"target_modules": ["q_proj", "v_proj", "down_proj"]},
        "pool": {"files": [pool]},
        "targets": {"size": drawn},
        "tasks": {name: {"capability": "test", "files": [pool]} for name in ("alpha", "beta")},
        "warmup": {"epochs": epochs},
        "gradients": {"token_budget": 400},
    }
    config = parse_config(changed(changed(tiny_values(folder, tiny_base()), own), sections))
    prepare_pool(config)
    for number, task in enumerate(config.tasks):
        write_target(config, task, [(sentence(50 * (number + 1) + i, 12), sentence(i, 12), i != 1) for i in range(drawn)])
    for number, epoch in enumerate(checkpoints(config), 1):
        if not Path(config.layout.checkpoint(epoch)).exists():
            folder = Path(config.layout.checkpoint(epoch))
            write_checkpoint(folder, config.model, config.lora, number)
            said = {"mean_learning_rate": 1e-4 / number, "fingerprint": "warm-up"}
            publish(config, "checkpoint", {"epoch": epoch}, sorted(folder.iterdir()), **said)
    return config


def collect_all(config: Experiment, epochs: list[Epoch], tasks: list[str]) -> None:
    """All rows and states of these epochs (the pool in one shard) and what the estimator fits between them, in the workflow's order."""
    from equipoise.collecting import collects_states
    from equipoise.curvature.fit import fit_curvature
    from equipoise.gradients.collect import collect_pool_gradients, collect_pool_states, collect_target_gradients, collect_target_states

    rows = row_estimator(config.gradients)
    if rows and rows.fitted and not rows.fitted.from_rows:
        fit_curvature(config, epochs)
    if rows:
        collect_pool_gradients(config, epochs, 0)
    if rows and rows.fitted and rows.fitted.from_rows:
        fit_curvature(config, epochs)
    if rows:
        collect_target_gradients(config, epochs, tasks)
    if collects_states(config, "pool"):
        collect_pool_states(config, 0)
    if collects_states(config, "target"):
        collect_target_states(config, tasks)
