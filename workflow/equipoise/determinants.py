"""What of a configuration determines a stage's results: the rules' `params` and the stages' fingerprints both come from here.

A table says which keys a stage reads; the marks at the keys (`config_keys.Effect`) say which of them count. A change of any counted key,
and of nothing else, gives a stage another fingerprint and lets Snakemake run it again.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from equipoise.benchmarks import concerned
from equipoise.collecting import is_predicted
from equipoise.config import Experiment
from equipoise.config_keys import Effect
from equipoise.estimators import row_estimator

TOKENS = ("model", "-model.precision", "-model.attention", "-model.quantisation")
FORWARD = ("model", "-model.precision", "training.loss_on", "gradients.precision", "gradients.token_budget")
# stage -> keys it reads, a section meaning all its keys; -key: not that one. What reaches a stage through its input files is theirs.
READS: dict[str, tuple[str, ...]] = {
    "fetch": (
        *("model.base", "model.revision", "pool.dataset", "pool.name", "pool.revision", "pool.split"),
        *("tasks.*.benchmark", "tasks.*.lm_eval_tasks", "tasks.*.revision"),
    ),
    "generate_miniature": ("miniature",),
    "decontaminate": (
        *("pool", "-pool.decontaminate", "tasks.*.suite", "tasks.*.lm_eval_tasks", "tasks.*.revision", "suites.*.include_path"),
        *("tasks.*.benchmark", "tasks.*.test_files"),
    ),
    "prepare_pool": ("pool", "-pool.decontaminate", *TOKENS, "training.loss_on"),
    "prepare_targets": (
        *("seed", "targets", *TOKENS, "tasks", "-tasks.*.capability", "-tasks.*.metric", "-tasks.*.test_files"),
        *("suites.*.chat", "suites.*.num_fewshot", "suites.*.include_path", "training.loss_on"),
    ),
    "check_base": ("model", "lora"),  # of what `warm_up` reads, which runs again with it; `prepare_targets` looks at new tasks
    "warm_up": (
        *("seed", "model", "lora", "training", "warmup"),
        *("pool.format", "pool.columns", "pool.bad_rows", "pool.repeated_ids", "pool.deduplicate"),  # how warmup.files are read
    ),
    "fit_curvature": ("seed", "model", "-model.precision", "training.loss_on"),  # and what the estimator reads
    "choose_dimension": ("seed", "model", "-model.precision", "training.loss_on", "targets.max_length"),  # and what the estimator reads
    "collect_pool_gradients": ("seed", "model", "-model.precision", "training.loss_on"),  # and what the estimator reads
    "collect_target_gradients": ("seed", "model", "-model.precision", "targets.max_length", "training.loss_on"),
    "collect_pool_states": FORWARD,
    "collect_target_states": (*FORWARD, "targets.max_length"),
    "score_pool": FORWARD,
    "fit_influence_model": ("seed", "gradients.mates.penalty"),
    "rank": ("selection",),
    "fine_tune": ("seed", "model", "lora", "training"),
    "measure_one_step": (
        *("seed", "model", "-model.precision", "training.loss_on", "training.weight_decay", "targets.max_length"),
        "validation.one_step",
    ),
    "retrain": ("seed", "model", "lora", "training", "targets.max_length"),
    "validate_influence": ("seed", "validation"),
    "evaluate": ("model", "-model.max_length", "suites", "tasks.*.suite", "tasks.*.lm_eval_tasks", "tasks.*.metric", "tasks.*.test_files"),
    "report": ("tasks.*.capability", "report", "seed", "selection"),
}


def determinants(
    config: Experiment, stage: str, tasks: Iterable[str] | None = None, suites: Iterable[str] | None = None, names: bool = False
) -> dict[str, Any]:
    """Values of the counted keys of a stage, by the key's path: plain values, equal exactly where results are.

    tasks, suites: those that the job is for (none: all). names: also the keys whose content counts instead, which a stage takes from the
    files themselves (`params` need them, fingerprints hold digests).
    """
    kept = {"tasks": list(config.tasks if tasks is None else tasks), "suites": list(config.suites if suites is None else suites)}
    values: dict[str, Any] = {}
    for key in (*READS[stage], *_chosen_keys(config, stage, kept["tasks"])):
        for path, effect, value in leaves(config, key.removeprefix("-").split("."), kept):
            if key.startswith("-"):
                values.pop(path, None)
            elif effect is None or (names and effect is Effect.CONTENT):
                values[path] = value
    if "gradients.estimator" in values:  # rows are the same for whom they are collected: an influence model, too
        values["gradients.estimator"] = row_estimator(config.gradients).name
    return values


def _chosen_keys(config: Experiment, stage: str, tasks: Iterable[str]) -> list[str]:
    """Keys that a stage reads for what is chosen: the estimator's own, and the sandbox's where programs are run."""
    if stage == "evaluate":
        entries = [entry for name in tasks for entry in concerned(config.tasks[name].benchmark, config.tasks[name].lm_eval_tasks)]
        return ["sandbox"] if any(entry.runs_programs for entry in entries) else []
    chosen = row_estimator(config.gradients)
    if chosen is None:
        return []
    if stage == "fit_curvature":
        return [f"gradients.{key}" for key in chosen.fitted.reads] if chosen.fitted else []
    if stage == "choose_dimension":
        return [f"gradients.{key}" for key in (*chosen.reads["pool"], *chosen.reads["target"])]
    side = {"collect_pool_gradients": "pool", "collect_target_gradients": "target"}.get(stage)
    if not side:
        return []
    sampled = ("mates.share",) if side == "pool" and is_predicted(config) else ()
    return [f"gradients.{key}" for key in (*chosen.reads[side], *sampled)]


def leaves(section: BaseModel, path: list[str], kept: dict[str, list[str]], before: str = "", mark: Effect | None = None):
    """Path, mark and value of the keys at and below a path of keys, `*` for every entry of a mapping; kept: entries of each mapping."""
    name, rest = path[0], path[1:]
    field, value = type(section).model_fields[name], getattr(section, name)
    mark = mark or next((each for each in field.metadata if isinstance(each, Effect)), None)
    where = f"{before}{name}"
    if isinstance(value, BaseModel):
        for inner in rest[:1] or type(value).model_fields:
            yield from leaves(value, [inner, *rest[1:]], kept, f"{where}.", mark)
    elif isinstance(value, dict) and value and all(isinstance(entry, BaseModel) for entry in value.values()):
        for entry in kept[where]:
            for inner in rest[1:2] or type(value[entry]).model_fields:
                yield from leaves(value[entry], [inner, *rest[2:]], kept, f"{where}.{entry}.", mark)
    else:
        parts = value if isinstance(value, list) else [value]
        plain = [part.model_dump() if isinstance(part, BaseModel) else part for part in parts]
        yield where, mark, plain if isinstance(value, list) else value
