"""What the rules share: the validated configuration, wildcard constraints, and functions of what depends on what."""

import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))

from equipoise.budgets import budget_label
from equipoise.config_file import parse_config, write_config
from equipoise.data.fetch import needs_hub
from equipoise.errors import UserError
from equipoise.layout import Layout, Run, shard_label
from equipoise.process import refuse_missing_reporters, stage_threads
from equipoise.reporting.catalogue import PAGE, SCORES, results
from equipoise.reporting.experiments import score_files, second_model
from equipoise.experiment import ZERO_SHOT, evaluations, experiment_runs, folds, selection_seeds
from equipoise.selectors import selector, selector_names

IN_CONDA = "conda" in map(str, workflow.deployment_settings.deployment_method)

try:
    CONFIG = parse_config(config, "configuration")
    SECOND_MODEL = second_model(CONFIG)
    if CONFIG.python == "python" and not IN_CONDA:  # the stages run in this very environment
        refuse_missing_reporters(CONFIG)
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

LAYOUT = CONFIG.layout
PYTHON = shlex.quote(sys.executable if CONFIG.python == "python" and not IN_CONDA else CONFIG.python)
STAGE = f"{PYTHON} -m equipoise"
# Compute nodes have no internet, and a stage must not depend on what the hub says today: `fetch` alone may ask it.
OFFLINE = "env HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1"
EQUIPOISE = f"{OFFLINE} {STAGE}"
EPOCHS = list(range(1, CONFIG.warmup.epochs + 1))
SHARDS = [shard_label(shard) for shard in range(CONFIG.pool.shards)]
ASSEMBLED = SHARDS[:: CONFIG.jobs.assembly]
TASKS = list(CONFIG.tasks)
RUN = Run("{selector}", "{selection_seed}", "{budget}", "{epochs}", "{seed}")


wildcard_constraints:
    epoch=r"\d+",
    shard=r"\d{5}",
    task="|".join(TASKS),
    matrix=r"influence|last_token|position_weighted",
    selector="|".join([ZERO_SHOT, *selector_names()]),
    selection_seed=r"\d+",
    budget=r"[0-9.]+",
    epochs=r"\d+",
    seed=r"\d+",
    suite="|".join(CONFIG.suites) or "none",
    suite_seed=r"\d+",


def log_of(rule_name, *wildcards):
    """The log of a rule's jobs: logs/<rule>/<experiment>/<model>/<wildcards>.log."""
    return "/".join(["logs", rule_name, CONFIG.experiment, CONFIG.model.name, *(wildcards or ["all"])]) + ".log"


def benchmark_of(rule_name, *wildcards):
    """Seconds and peak memory of a rule's jobs, beside the logs and never in a manifest."""
    return "/".join(["benchmarks", rule_name, CONFIG.experiment, CONFIG.model.name, *(wildcards or ["all"])]) + ".tsv"


def threads_of(rule_name):
    """Threads from the configuration; the stage reads the same value, so `--cores` changes no byte."""
    return stage_threads(CONFIG, rule_name)


def gpus(wanted):
    """GPUs a job asks for: none where the configuration says `model.device: cpu`."""
    return 0 if CONFIG.model.device == "cpu" else wanted


def config_slice(*names):
    """The sections a rule depends on, as plain values: an edit of any of them, and of nothing else, reruns it."""
    values = CONFIG.model_dump(mode="json")
    return {name: values[name] for name in names}


def model_slice():
    """The model as far as it determines results (not the device)."""
    return CONFIG.model.model_dump(mode="json", exclude={"device"})


def training_slice():
    """Hyper-parameters that determine an adapter."""
    return CONFIG.training.model_dump(mode="json", exclude={"report_to", "save_steps"})


def pool_slice():
    """Where the pool's rows come from; whether contaminated ones leave it shows in the inputs."""
    return CONFIG.pool.model_dump(mode="json", exclude={"decontaminate", "shards"})


def fetched_slice():
    """What says which benchmark data are fetched."""
    return {name: task.model_dump(mode="json", include={"benchmark", "lm_eval_tasks", "revision"}) for name, task in CONFIG.tasks.items()}


def evaluated_items_slice():
    """What says which items are evaluated, limits aside."""
    tasks = {n: t.model_dump(mode="json", include={"lm_eval_tasks", "revision"}) for n, t in CONFIG.tasks.items() if t.suite}
    return {"tasks": tasks, "folders": {name: suite.include_path for name, suite in CONFIG.suites.items()}}


def contamination():
    """The manifest of contaminated rows, where they are looked for."""
    return [LAYOUT.contamination] if CONFIG.pool.decontaminate != "skip" else []


def base_files():
    """What says that the base is here: its configuration, and the manifest of what was fetched from the hub.

    Only that the manifest is there counts: its parts that matter to a rule are in that rule's parameters, so that a new task does not
    rerun the pool.
    """
    config = Path(CONFIG.model.base) / "config.json"
    return [*([str(config)] if config.exists() else []), *([ancient(LAYOUT.fetch_manifest)] if needs_hub(CONFIG) else [])]


def per_epoch(pattern):
    """`pattern` itself (a job an epoch) or all its epochs (one job), by `jobs.epochs`."""
    return expand(pattern, epoch=EPOCHS, allow_missing=True) if CONFIG.jobs.epochs == "together" else pattern


def per_task(pattern):
    """`pattern` itself (a job a task) or all its tasks (one job), by `jobs.tasks`."""
    patterns = [pattern] if isinstance(pattern, str) else pattern
    return expand(patterns, task=TASKS, allow_missing=True) if CONFIG.jobs.tasks == "together" else pattern


def epochs_argument(wildcards):
    """Epochs of one gradient job, as the command line takes them."""
    return ",".join(map(str, EPOCHS)) if CONFIG.jobs.epochs == "together" else wildcards.epoch


def tasks_argument(wildcards):
    """Tasks of one job, as the command line takes them."""
    return ",".join(TASKS) if CONFIG.jobs.tasks == "together" else wildcards.task


def task_files(wildcards):
    """Local files that the validation examples of a job's tasks come from."""
    names = TASKS if CONFIG.jobs.tasks == "together" else [wildcards.task]
    return [file for name in names for file in [*CONFIG.tasks[name].files, *CONFIG.tasks[name].substitutes]]


def miniature_files():
    """Data of the embedded experiment that other rules read: its pool and the validation examples of its tasks."""
    return [*CONFIG.pool.files, *(file for task in CONFIG.tasks.values() for file in task.files)]


def task_slices(wildcards):
    """The configuration of a job's tasks, as far as it determines their validation examples, whose prompts are those of their suite."""
    names = TASKS if CONFIG.jobs.tasks == "together" else [wildcards.task]
    tasks = {name: CONFIG.tasks[name].model_dump(mode="json", exclude={"capability"}) for name in names}
    suites = {task["suite"] for task in tasks.values() if task["suite"]}
    put = {name: CONFIG.suites[name].model_dump(mode="json", include={"chat", "num_fewshot", "include_path"}) for name in sorted(suites)}
    return {"tasks": tasks, "suites": put}


def matrices():
    """Matrices that the selectors rank on; the attribution matrix always, for the analyses."""
    used = {selector(name).matrix for name in CONFIG.selectors} - {None}
    return sorted(used | {"influence"})


def matrix_epochs(wildcards):
    """Epochs whose stores enter a matrix: all for influence, the last one's states for the others."""
    return EPOCHS if wildcards.matrix == "influence" else EPOCHS[-1:]


def shard_gradients(wildcards):
    """Manifests of the gradient rows that one job's matrix rows are made from (jobs.assembly shards from `shard` on)."""
    shards = SHARDS[int(wildcards.shard) :][: CONFIG.jobs.assembly]
    return [LAYOUT.pool_gradients_manifest(epoch, shard) for epoch in matrix_epochs(wildcards) for shard in shards]


def target_gradients(wildcards):
    """Manifests of the gradients of all validation examples."""
    return [LAYOUT.target_gradients_manifest(epoch, task) for epoch in matrix_epochs(wildcards) for task in TASKS]


def ranked_matrices(wildcards):
    """Manifests of the attribution matrix, which says which rows may be chosen, and of the matrix a selector ranks on."""
    used = dict.fromkeys(["influence", selector(wildcards.selector).matrix or "influence"])
    return [LAYOUT.matrix_manifest(name) for name in used]


def selections_of(runs):
    """Selections that `runs` train on, each once."""
    return list(dict.fromkeys(LAYOUT.selection(r.selector, r.selection_seed, r.budget) for r in runs if r.selector != ZERO_SHOT))


def all_selections():
    """Every selection of the experiment."""
    return selections_of(experiment_runs(CONFIG))


def fold(wildcards):
    """The runs of one selector by one selection seed, which one job makes."""
    return folds(CONFIG)[wildcards.selector, int(wildcards.selection_seed)]


def fold_selections(wildcards):
    """Selections that the runs of a fold train on."""
    return selections_of(fold(wildcards))


def fold_runs(wildcards):
    """Paths of a fold's runs: a new budget or seed adds some and reruns their job, which keeps the finished ones."""
    return [run.path for run in fold(wildcards)]


def adapter_manifest(wildcards):
    """The manifest of the adapter to evaluate; the base itself (`zero_shot`) has none."""
    return [] if wildcards.selector == ZERO_SHOT else LAYOUT.run_manifest(RUN)


def suite_slice(wildcards):
    """A suite and the tasks it evaluates."""
    names = [wildcards.suite] if hasattr(wildcards, "suite") else [suite for suite, _ in evaluations(CONFIG)]
    tasks = {n: t.model_dump(mode="json") for n, t in CONFIG.tasks.items() if t.suite in names}
    return {"suites": {n: CONFIG.suites[n].model_dump(mode="json", exclude={"python"}) for n in names}, "tasks": tasks}


def suite_python(wildcards):
    """The interpreter of a suite's evaluation, where the suite names one of its own."""
    return CONFIG.suites[wildcards.suite].python or ""


def all_manifests():
    """Manifests of all gradient rows and matrix rows: asked for by name, so that a deleted one is made again (as an intermediate file
    Snakemake would not miss it)."""
    return [
        *expand(LAYOUT.checkpoint_manifest("{epoch}"), epoch=EPOCHS),
        *expand(LAYOUT.pool_gradients_manifest("{epoch}", "{shard}"), epoch=EPOCHS, shard=SHARDS),
        *expand(LAYOUT.target_gradients_manifest("{epoch}", "{task}"), epoch=EPOCHS, task=TASKS),
        *expand(LAYOUT.matrix_shard_manifest("{matrix}", "{shard}"), matrix=matrices(), shard=ASSEMBLED),
        *expand(LAYOUT.matrix_manifest("{matrix}"), matrix=matrices()),
    ]


def all_scores():
    """What the report waits for: every score, or the manifests of the folds."""
    if CONFIG.jobs.runs == "together":
        return [LAYOUT.fold_manifest(*fold) for fold in folds(CONFIG)]
    return score_files(CONFIG)


def annotated(result):
    """A result's displayed file, with what `snakemake --report` shows beside it."""
    path = f"{LAYOUT.report}/{result.files[0]}"
    return report(path, caption=f"../{result.caption_file}", category=result.category, labels=result.labels)


def further_files():
    """The other formats of every result."""
    return [f"{LAYOUT.report}/{file}" for result in results(CONFIG) for file in result.files[1:]]


def report_inputs():
    """All that the report is made from."""
    return [
        *all_scores(),
        *all_selections(),
        *expand(LAYOUT.matrix_manifest("{matrix}"), matrix=matrices()),
        LAYOUT.pool_manifest,
        *(score_files(SECOND_MODEL) if SECOND_MODEL else []),
        *contamination(),
    ]


def something_to_report(wildcards):
    """The report's inputs; ends snakemake where nothing is evaluated, before any job. Selections and matrix can be asked for all the same."""
    if evaluations(CONFIG):
        return report_inputs()
    print(
        "error: tasks: none names a suite, so nothing is evaluated and there is nothing to report; write suite and lm_eval_tasks under a "
        "task and the suite under suites, or ask for the target selections or matrix",
        file=sys.stderr,
    )
    sys.exit(2)
