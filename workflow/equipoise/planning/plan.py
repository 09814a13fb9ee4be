"""`equipoise plan`: the stages of an experiment with their costs as a table, what is assumed, and what will not fit."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from equipoise.attribution.reliability import REACHED, forecast
from equipoise.collecting import made_of_rows
from equipoise.comparison import RANDOM, compared, retrainings
from equipoise.config import Experiment
from equipoise.data.shards import chunk_count
from equipoise.errors import UserError
from equipoise.experiment import chooses_dimension, measured, tells_reliability
from equipoise.gradients.width import NONE, known_projection
from equipoise.measures import ACCURACY, LOSS
from equipoise.planning.architecture import Architecture, architecture
from equipoise.planning.cost import Cost, CostedStage
from equipoise.planning.costing import SLOWER_BACKWARD, Planner
from equipoise.planning.hardware import Gpu, Speed, gpu
from equipoise.planning.workload import SPREAD, pool_load
from equipoise.store.artefact import open_alone

VLLM_ADVISED = 6e9  # parameters above which decoding by transformers costs more than all else
OWN_ITEMS = "a jsonl task's: its own rows, else 1,000"
COLUMNS = ("stage", "jobs", "left", "tokens", "PFLOPs", "GPU-hours", "hours left", "GPU memory", "host memory", "disk")


@dataclass(frozen=True)
class Plan:
    """A planned experiment."""

    stages: list[CostedStage]
    gpu: Gpu
    mfu: float
    shape: Architecture
    assumptions: list[str]
    warnings: list[str]

    @property
    def cost(self) -> Cost:
        """All stages."""
        return sum((stage.cost for stage in self.stages), Cost())

    @property
    def left(self) -> Cost:
        """What is not done in all stages."""
        return sum((stage.left for stage in self.stages), Cost())


def plan(config: Experiment, gpu_name: str = "H100", mfu: float = 0.4, rows: int | None = None, mean_tokens: float | None = None) -> Plan:
    """Plans `config` for a GPU at an MFU (share of its peak that matrix products reach, in (0, 1]).

    rows, mean_tokens: of the pool, instead of what its files say. Raises `UserError` for an unknown GPU or base and bad numbers.
    """
    if not 0 < mfu <= 1:
        raise UserError(f"--mfu {mfu:g}: write a share in (0, 1], such as 0.4")
    shape, source = architecture(config.model)
    pool = pool_load(config, rows, mean_tokens)
    device = gpu(gpu_name)
    stages = Planner(config, shape, pool, Speed(device, mfu)).stages()
    said = [
        f"model: {shape.parameters / 1e9:.3f}e9 parameters, adapter {shape.adapter_parameters(config.lora):,} (from {source})",
        *pool.assumptions,
        f"speed: {device.name} at {mfu:.0%} of {device.peak(config.model.precision) / 1e12:g} TFLOP/s",
        *_deterministic_assumptions(config, stages),
        "host memory: of a job; measured at 135 M parameters on a CPU, extrapolated; 3 GB a process for CUDA are assumed",
        *_projection_assumptions(config),
        "selections: rows are as long as the pool's on average",
        *_comparison_assumptions(config),
        *_evaluation_assumptions(config, shape),
        "fetch: the base's weights in 16 bits, kept in the hub's cache; data sets come on top",
        "left: results that do not exist yet; snakemake -n also lists those that are out of date",
    ]
    return Plan(stages, device, mfu, shape, said, _warnings(config, stages, device, pool.rows))


def _deterministic_assumptions(config: Experiment, stages: list[CostedStage]) -> list[str]:
    """What torch's deterministic algorithms cost: attention's backward pass takes longer, all else has no other kernel here."""
    if not config.model.deterministic:
        return []
    more = sum(stage.cost.deterministic_seconds for stage in stages)
    share = more / max(1e-9, sum(stage.cost.gpu_seconds for stage in stages) - more)
    return [
        f"speed: model.deterministic takes {more:,.0f} GPU-seconds more ({share:.1%}), by {SLOWER_BACKWARD - 1:.0%} more in attention's "
        "backward pass (published for FlashAttention-3; not measured here)"
    ]


def _projection_assumptions(config: Experiment) -> list[str]:
    """The noise of the projection, and the reliability that a sealed matrix of this experiment lets expect."""
    matrix = made_of_rows(config)
    if matrix is None or not tells_reliability(config, matrix):
        return []
    projection = known_projection(config)
    if projection.kind == NONE:
        return [f"projection: none (auto: a pilot found that a reliability of {REACHED:g} takes all of the adapter's numbers)"]
    width = projection.dimension
    told = ""
    if chooses_dimension(config):
        chosen = Path(config.layout.projection_manifest).exists()
        told = " (auto, by the pilot)" if chosen else " (auto; planned so until choose_dimension has chosen, stores grow with it)"
    said = f"projection: {width:,} numbers{told} leave a noise of about {width**-0.5:.3f} in a cosine"
    path = config.layout.matrix_manifest(matrix)
    known = None
    with suppress(UserError):  # no matrix yet: nothing to go by
        known = open_alone(path, "matrix").get("reliability")  # of this width or another
    if not known:
        return [f"{said}; its reliability is told when a first matrix is sealed"]
    expected = forecast(known["median"], width / known["dimension"])
    return [f"{said}; reliability {expected:.3f}, by the {known['median']:.3f} that {known['dimension']:,} numbers had in {path}"]


def _comparison_assumptions(config: Experiment) -> list[str]:
    """What comparing estimators comes to."""
    others = [each.gradients.estimator for each in compared(config) if each.gradients.place]
    if not config.validation.estimators:
        return []
    made = retrainings(config)
    alone = sum(each.of == RANDOM for each in made)
    said = [f"validation: {len(made):,} retrainings, {alone:,} of them shared by all estimators and baselines; single steps are in float64"]
    if others:
        said.append(f"validation: stores and matrices of {', '.join(others)} are made beside the experiment's own, from the same warm-up")
    return said


def _evaluation_assumptions(config: Experiment, shape: Architecture) -> list[str]:
    if not any(task.suite for task in config.tasks.values()):
        return []
    said = [f"evaluation: items are the benchmarks' own counts ({OWN_ITEMS}), prompts and answers have assumed mean lengths"]
    said.append(
        f"evaluation: tuned models' answers are lognormal with spread {SPREAD:g} up to the longest allowed; a batch decodes until its "
        "longest one ends"
    )
    if LOSS in measured(config):
        said.append("evaluation: held-out loss is one forward pass over an item's prompt and reference, as long as an assumed answer")
    if ACCURACY not in measured(config):
        return [said[0], said[-1]]
    if shape.parameters > VLLM_ADVISED and any(suite.backend == "hf" for suite in config.suites.values()):
        said.append("evaluation: transformers start every kernel of a step by themselves; backend: vllm is what to use at this size")
    if config.finetune.zero_shot:
        said.append("evaluation: zero_shot never stops, all its answers are the longest allowed")
    return said


def _warnings(config: Experiment, stages: list[CostedStage], device: Gpu, rows: int) -> list[str]:
    collection = "lower gradients.token_budget or set gradients.activation_checkpointing: true"
    advice = dict.fromkeys(("fit_curvature", "collect_pool_gradients", "collect_target_gradients"), collection) | {
        "evaluate": "lower the suites' batch_size",
        "measure_one_step": "its float64 model does not fit, write validation.one_step: {rows: 0}",
    }
    tuning = "lower training.micro_batch_size or set training.activation_checkpointing: true"
    warnings = [
        f"{stage.name} needs {stage.memory / 1e9:.0f} GB, an {device.name} has {device.memory / 1e9:.0f}; {advice.get(stage.name, tuning)}"
        for stage in stages
        if stage.memory and stage.memory > device.memory and config.model.device != "cpu"
    ]
    if config.pool.shards > chunk_count(rows):
        warnings.append(f"pool.shards is {config.pool.shards}, but {rows:,} rows fill {chunk_count(rows)} chunks of 1,024; lower it")
    if config.model.device == "cpu":
        warnings.append("model.device is cpu: hours and memory are what a GPU would need")
    return warnings


def as_text(made: Plan) -> str:
    """The plan for a terminal: assumptions, table, warnings."""
    rows = [COLUMNS, *(_row(stage) for stage in made.stages)]
    peak, host = (max((each or 0 for each in held), default=0) for held in zip(*((s.memory, s.host) for s in made.stages), strict=True))
    jobs, left = (sum(len(stage.jobs) for stage in made.stages), sum(stage.jobs_left for stage in made.stages))
    rows.append(("total", f"{jobs:,}", f"{left:,}", *_amounts(made.cost, made.left), _bytes(peak), _bytes(host), _bytes(made.cost.disk)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]) for row in rows
    ]
    rule = "-" * len(lines[0])
    table = [lines[0], rule, *lines[1:-1], rule, lines[-1]]
    return "\n".join([*(f"# {line}" for line in made.assumptions), "", *table, *(f"warning: {line}" for line in made.warnings)]) + "\n"


def _row(stage: CostedStage) -> tuple[str, ...]:
    held = [_bytes(each) if each else "-" for each in (stage.memory, stage.host)]
    return (stage.name, f"{len(stage.jobs):,}", f"{stage.jobs_left:,}", *_amounts(stage.cost, stage.left), *held, _bytes(stage.cost.disk))


def _amounts(cost: Cost, left: Cost) -> tuple[str, str, str, str]:
    hours = [f"{amount.gpu_seconds / 3600:,.2f}" if cost.gpu_seconds else "-" for amount in (cost, left)]
    return (_count(cost.tokens), f"{cost.flops / 1e15:,.1f}" if cost.flops else "-", *hours)


def _count(number: float) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number:.0f}" if number else "-"


def _bytes(number: float) -> str:
    return decimal(round(number)) if number else "-"


def as_values(made: Plan) -> dict[str, Any]:
    """The plan as JSON-able values: amounts in tokens, operations, GPU-seconds and bytes."""
    stages = {
        stage.name: {
            "jobs": len(stage.jobs),
            "jobs_left": stage.jobs_left,
            "cost": asdict(stage.cost),
            "left": asdict(stage.left),
            "gpu_memory": stage.memory,
            "host_memory": stage.host,
        }
        for stage in made.stages
    }
    return {
        "gpu": made.gpu.name,
        "mfu": made.mfu,
        "stages": stages,
        "total": asdict(made.cost),
        "left": asdict(made.left),
        "assumptions": made.assumptions,
        "warnings": made.warnings,
    }
