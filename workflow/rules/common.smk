"""What the rules share: the validated configuration, wildcard constraints, and functions of what depends on what."""

import functools
import os
import re
import shlex
import sys
from contextlib import chdir, nullcontext
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(workflow.current_basedir).parent))

from equipoise import collecting, comparison, experiment, jobs
from equipoise.cluster.console import follow
from equipoise.cluster.ending import tell_end, tell_failure, watch_for_stop
from equipoise.cluster.unmade import make_again
from equipoise.config_file import parse_config, write_config
from equipoise.conversation.sources import input_files
from equipoise.determinants import determinants
from equipoise.errors import UserError
from equipoise.estimators import ESTIMATORS, OTHERS, row_estimator
from equipoise.layout import EPOCH, Run
from equipoise.measures import LOSS, MEASURES
from equipoise.process import refuse_missing_reporters, stage_threads
from equipoise.reporting.catalogue import PAGE, SCORES, results
from equipoise.reporting.experiments import second_model
from equipoise.selectors import MATRICES, SAMPLED, SCORED, SELECTORS, selector
from equipoise.store.kinds import KINDS

if workflow.remote_exec:  # this snakemake runs one job, where a cluster gave it what its rule asks for (modelling/device.py)
    os.environ["EQUIPOISE_ON_CLUSTER"] = "1"

PREFIX = workflow.modifier.path_modifier.prefix or ""
"""Where Snakemake puts all relative paths of these rules, when another workflow uses them as a module with a `prefix`."""


def within_prefix():
    """A context in which relative paths are what they are for these rules and their stages."""
    return chdir(PREFIX) if PREFIX and Path(PREFIX).is_dir() else nullcontext()


# Where Snakemake brings the stages' software, their `python` is the one that it brings.
DEPLOYED = sorted({"conda", "apptainer"} & set(map(str, workflow.deployment_settings.deployment_method)))

try:
    with within_prefix():
        CONFIG = parse_config(config, "configuration")
        SECOND_MODEL = second_model(CONFIG)
        POOL_FILES, WARMUP_FILES = input_files(CONFIG.pool.files), input_files(CONFIG.warmup.files)
        TEST_FILES = {
            name: input_files([*task.test_files, *([] if task.lm_eval_tasks else task.files)]) for name, task in CONFIG.tasks.items()
        }
        TASK_FILES = {name: input_files([*task.files, *task.substitutes]) for name, task in CONFIG.tasks.items()}
        OWN_SCORES = [file for each in comparison.compared(CONFIG) for file in collecting.score_files(each, must_exist=True)]
        BASE_FILES = experiment.base_files(CONFIG)
        NEEDS_HUB = experiment.needs_hub(CONFIG)
        if CONFIG.python == "python" and not DEPLOYED:  # the stages run in this very environment
            refuse_missing_reporters(CONFIG)
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

if CONFIG.container:

    container: CONFIG.container

elif "apptainer" in DEPLOYED:
    print("error: container: --sdm apptainer needs an image; make one by envs/Dockerfile and write its .sif file", file=sys.stderr)
    sys.exit(2)

if workflow.is_main_process:
    make_again(CONFIG, PREFIX)
    follow(str(Path(PREFIX) / CONFIG.layout.config))
    watch_for_stop()

LAYOUT = CONFIG.layout
PLACED = replace(LAYOUT, place="{place}")  # of any estimator that is compared: nothing, or estimators/<name>/
# By the name of a variable, as the text of a command counts for Snakemake, and which Python runs it does not.
INTERPRETER = "EQUIPOISE_PYTHON" + re.sub(r"\W", "_", PREFIX)
os.environ[INTERPRETER] = sys.executable if CONFIG.python == "python" else CONFIG.python
PYTHON = shlex.quote(CONFIG.python) if DEPLOYED else f'"${INTERPRETER}"'
SHARDS = experiment.shards(CONFIG)
TASKS = list(CONFIG.tasks)
EPOCH_IN_LOG = ["epoch-{epoch}"] if CONFIG.jobs.epochs == "separate" else []
TASK_IN_LOG = ["{task}"] if CONFIG.jobs.tasks == "separate" else []
RUN = Run("{selector}", "{selection_seed}", "{budget}", "{epochs}", "{seed}")


wildcard_constraints:
    place="|" + "|".join(f"estimators/{name}/" for name in (*(each.name for each in ESTIMATORS), *OTHERS)),
    group=r"[a-z_]+-[a-z_0-9-]+",
    training=r"[a-z]+-[A-Za-z0-9._-]+",
    epoch=EPOCH,
    further=r"|-seed-[1-9]\d*",
    shard=r"\d{5}",
    task="|".join(TASKS),
    matrix="|".join((*MATRICES, SAMPLED)),
    column="|".join(SCORED),
    selector="|".join(each.name for each in SELECTORS),
    selection_seed=r"\d+",
    budget=r"[0-9.]+",
    epochs=r"\d+",
    seed=r"\d+",
    suite="|".join(CONFIG.suites) or "none",
    part="|".join([r"seed-\d+", *(measure.name for measure in MEASURES)]),


def stage(name, options="", gpu=False, offline=True):
    """The shell command of a stage, with Snakemake's fields in it: whole, since a rule that another workflow uses sees no name of this one.

    gpu: whether the stage is told how many GPUs its job has. offline: every stage but `fetch`, as compute nodes have no internet and no
    result may depend on what the hub says today. Paths are the stage's as they are Snakemake's: within the prefix of a module.
    """
    given = [f"--chdir={shlex.quote(PREFIX)}"] if PREFIX else []
    given += ["EQUIPOISE_GPUS={resources.gpu}"] if gpu else []
    given += ["HF_HUB_OFFLINE=1", "HF_DATASETS_OFFLINE=1"] if offline else []
    return " ".join(["env", *given, PYTHON, "-m equipoise", name, "--config {params.config:q}", options, "2> {log:q}"])


def begin(log=None):
    """What a run starts with, once it has the lock of its files: it shows that it lives, and writes the effective configuration."""
    from equipoise.cluster.controllers import hold_controller

    hold_controller()
    Path(PREFIX).mkdir(parents=True, exist_ok=True)
    with within_prefix():
        write_config(CONFIG, LAYOUT.config)


def begin_with(register):
    """Snakemake's `onstart` of the workflow that uses these rules as a module, which would be called instead of ours: it calls both."""

    def both(func):
        register(lambda log: (begin(log), func(log)))

    return both


if not workflow.modifier.is_main_snakefile():
    workflow.onstart, started = begin_with(workflow.onstart), workflow._onstart
    workflow._onstart = lambda log: (begin(log), started(log))


def log_of(rule_name, *wildcards):
    """The log of a rule's jobs: logs/<rule>/<experiment>/<model>/<wildcards>.log."""
    return "/".join(["logs", rule_name, CONFIG.experiment, CONFIG.model.name, *(wildcards or ["all"])]) + ".log"


def after_place(*wildcards):
    """The wildcards of a log whose jobs are of any estimator: its place stands before them."""
    first, *others = wildcards or ["all"]
    return ["{place}" + first, *others]


def benchmark_of(rule_name, *wildcards):
    """Seconds and peak memory of a rule's jobs, beside the logs and never in a manifest."""
    return "/".join(["benchmarks", rule_name, CONFIG.experiment, CONFIG.model.name, *(wildcards or ["all"])]) + ".tsv"


def threads_of(rule_name):
    """Threads from the configuration; the stage reads the same value, so `--cores` changes no byte."""
    return stage_threads(CONFIG, rule_name)


def gpus(wanted):
    """GPUs a job asks for: none where the configuration says `model.device: cpu`."""
    return 0 if CONFIG.model.device == "cpu" else wanted


def cores(rule_name, wanted):
    """Cores a job asks a cluster for: some with each GPU (`cores_per_gpu` of the site file), and never fewer than its threads.

    No thread count, and so no byte, depends on it.
    """
    return max(threads_of(rule_name), gpus(wanted) * int(os.environ.get("EQUIPOISE_CORES_PER_GPU", "8")))


@functools.cache
def determined(stage, place=""):
    """What of the configuration determines a stage's results: an edit of that, and of nothing else, reruns it."""
    return determinants(placed(place), stage, names=True)


@functools.cache
def placed(place):
    """The experiment with the estimator whose stores and matrix lie at a place."""
    return next(each for each in comparison.compared(CONFIG) if each.gradients.place == place)


def determined_by(stage):
    """The same of the estimator that a job is for."""

    def of_job(wildcards):
        return determined(stage, wildcards.place)

    return of_job


def estimator_argument(wildcards):
    """The estimator of a job, as the command line takes it; nothing for the experiment's own."""
    return f"--estimator {placed(wildcards.place).gradients.estimator}" if wildcards.place else ""


def base_files():
    """What says that the base is here: its configuration, a chat template of one's own, and the manifest of what was fetched from the hub.

    Only that the manifest is there counts: its parts that matter to a rule are in that rule's parameters, so that a new task does not
    rerun the pool.
    """
    return [*BASE_FILES, *([ancient(LAYOUT.fetch_manifest)] if NEEDS_HUB else [])]


def warm_up_config(wildcards):
    """The configuration, as a warm-up's command line takes it, and behind it the seed of a further warm-up.

    So command and parameters of the first are the same whether others follow or not, and it does not run again for them.
    """
    seed = wildcards.further.removeprefix("-seed-")
    return [LAYOUT.config, "--seed", seed] if seed else LAYOUT.config


def per_epoch(pattern):
    """`pattern` itself (a job per epoch) or all its epochs (one job), by `jobs.epochs`."""
    return jobs.per_epoch(CONFIG, pattern)


def per_task(pattern):
    """`pattern` itself (a job per task) or all its tasks (one job), by `jobs.tasks`."""
    return jobs.per_task(CONFIG, pattern)


def epochs_argument(wildcards):
    """Epochs of one gradient job, as the command line takes them."""
    return getattr(wildcards, "epoch", ",".join(map(str, experiment.gradient_epochs(CONFIG))))


def job_tasks(wildcards):
    """Tasks of one job: its own, or all."""
    return [wildcards.task] if hasattr(wildcards, "task") else TASKS


def tasks_argument(wildcards):
    """Tasks of one job, as the command line takes them."""
    return ",".join(job_tasks(wildcards))


def task_files(wildcards):
    """Local files that the validation examples of a job's tasks come from."""
    return [file for name in job_tasks(wildcards) for file in TASK_FILES[name]]


def determined_targets(wildcards):
    """What determines the validation examples of a job's tasks, whose prompts are those of their suites."""
    names = job_tasks(wildcards)
    suites = dict.fromkeys(CONFIG.tasks[name].suite for name in names if CONFIG.tasks[name].suite)
    return determinants(CONFIG, "prepare_targets", names, suites, names=True)


def placed_files(pattern, wildcards):
    """A job's paths of a pattern of any estimator: those of its own, for every epoch where it has several."""
    paths = pattern if isinstance(pattern, list) else [pattern]
    return [path.format(**dict(wildcards.items())) for path in paths]


def estimator_needs(side):
    """Files that the estimator's rows are made from beside examples and checkpoints."""

    def of_job(wildcards):
        own = placed(wildcards.place)
        return [getattr(own.layout, name) for name in (row_estimator(own.gradients).needs[side] if row_estimator(own.gradients) else ())]

    return of_job


def fitted_rows(side):
    """Manifests of what the estimator fits that a job's rows are made with."""

    def of_job(wildcards):
        return placed_files(per_epoch(experiment.fitted(placed(wildcards.place), side)), wildcards)

    return of_job


def chosen_dimension(wildcards):
    """The manifest of the width that a pilot has found out, where one does."""
    return experiment.chosen_dimension(placed(wildcards.place))


def pilot_fitted(wildcards):
    """Manifests of what the estimator fits that a pilot's rows are made with."""
    own = placed(wildcards.place)
    found = [path for e in experiment.gradient_epochs(own) for side in ("pool", "target") for path in experiment.fitted(own, side, e)]
    return list(dict.fromkeys(found))


def fit_inputs(wildcards):
    """Manifests of what a fit is made from, beside the checkpoint."""
    return experiment.fitted_from(placed(wildcards.place), wildcards.epoch)


def fit_gpus(wildcards):
    """GPUs of a fit."""
    return gpus(experiment.fitting_gpus(placed(wildcards.place)))


def fit_cores(wildcards):
    """Cores of a fit."""
    return cores("fit_curvature", experiment.fitting_gpus(placed(wildcards.place)))


def made_from(kind, place, of):
    """Manifests that an artefact of an estimator that is compared is made from."""
    own = placed(place)
    return [KINDS[each].manifest(own.layout, its) for each, its in KINDS[kind].inputs(own, of)]


def assembled_from(wildcards):
    """Manifests, and files of the user's own scores, that one job's matrix rows are made from."""
    own_scores = OWN_SCORES if collecting.is_own(placed(wildcards.place), wildcards.matrix) else []
    return made_from("matrix_shard", wildcards.place, {"matrix": wildcards.matrix, "shard": wildcards.shard}) + own_scores


def influence_model_from(wildcards):
    """Manifests that the model of influence is fitted on."""
    return made_from("influence_model", wildcards.place, {})


def sealed_shards(wildcards):
    """Manifests of the shards of a matrix."""
    own = placed(wildcards.place)
    return [own.layout.matrix_shard_manifest(wildcards.matrix, shard) for shard in experiment.assembled_shards(own, wildcards.matrix)]


def ranked_from(wildcards):
    """Manifests of what a ranking is made from: pool, the attribution matrix, which says which rows may be chosen, and what it ranks on."""
    of = {"selector": wildcards.selector, "selection_seed": wildcards.selection_seed}
    return [KINDS[kind].manifest(LAYOUT, its) for kind, its in KINDS["ranking"].inputs(CONFIG, of)]


def fold(wildcards):
    """The runs of one selector by one selection seed, which one job makes."""
    return experiment.folds(CONFIG)[wildcards.selector, int(wildcards.selection_seed)]


def longest_first(wildcards):
    """Priority on the way to a run: those on the whole pool take longest, and begun last they would keep the other cores waiting."""
    return 0 if selector(wildcards.selector).swept else 1


def fold_selections(wildcards):
    """Selections that the runs of a fold train on."""
    return experiment.selections(CONFIG, fold(wildcards))


def fold_runs(wildcards):
    """Paths of a fold's runs: a new budget or seed adds some and reruns their job, which keeps the finished ones."""
    return [run.path for run in fold(wildcards)]


def fold_suites(wildcards):
    """Suites and seeds that the runs of a fold are evaluated with: a new one reruns the job, which keeps what is finished."""
    return [f"{suite}/{part}" for suite, part in experiment.evaluations(CONFIG)]


def adapter_manifest(wildcards):
    """The manifest of the adapter to evaluate; the untouched base has none."""
    return LAYOUT.run_manifest(RUN) if selector(wildcards.selector).trains else []


def determined_evaluation(wildcards):
    """What determines the scores of a job: its suite, or all that are used, with the tasks they evaluate."""
    used = [wildcards.suite] if hasattr(wildcards, "suite") else dict.fromkeys(suite for suite, _ in experiment.evaluations(CONFIG))
    tasks = [name for name, task in CONFIG.tasks.items() if task.suite in used]
    determined = determinants(CONFIG, "evaluate", tasks, used, names=True)
    parts = [wildcards.part] if hasattr(wildcards, "part") else [part for _, part in experiment.evaluations(CONFIG)]
    if LOSS.name in parts:  # it reads its items as validation examples are read
        determined |= determinants(CONFIG, "prepare_targets", tasks, used, names=True)
    return determined


def part_argument(wildcards):
    """The part of a suite's evaluation, as the command line takes it."""
    kind, _, seed = wildcards.part.partition("-")
    return f"--suite-seed {seed}" if seed else f"--measure {kind}"


def test_files(wildcards):
    """Files of the items whose held-out loss a job measures."""
    suites = [wildcards.suite] if hasattr(wildcards, "suite") else CONFIG.suites
    return [file for name, task in CONFIG.tasks.items() if task.suite in suites for file in TEST_FILES[name]]


def group_matrices(wildcards):
    """Manifests of what the rows of a group's retrainings are chosen by."""
    return comparison.group_matrices(CONFIG, wildcards.group)


def determined_retrainings(wildcards):
    """What determines the retrainings of a job: settings, and which they are."""
    names = [each.name for each in comparison.groups(CONFIG)[wildcards.group]]
    own = [wildcards.training] if hasattr(wildcards, "training") else names
    subsets = {"share": CONFIG.validation.subsets.share, "strata": CONFIG.validation.subsets.strata}
    return determined("retrain") | {"epochs": CONFIG.finetune.epochs, "retrainings": own} | subsets


def training_argument(wildcards):
    """The retraining of a job, as the command line takes it; nothing for its whole group."""
    return f"--training {wildcards.training}" if hasattr(wildcards, "training") else ""


def trials():
    """Everything that the comparison of estimators is made from."""
    compares = comparison.candidates(CONFIG)
    matrices = [path for each in compares for path in comparison.candidate_files(CONFIG, each)]
    return [*dict.fromkeys(matrices), *outputs_of("measure_one_step"), *retrained()]


def retrained():
    """Manifests of all retrainings, or of their groups."""
    if CONFIG.jobs.runs == "together":
        return [LAYOUT.retraining_group(group) for group in comparison.groups(CONFIG)]
    return outputs_of("retrain")


def outputs_of(*names):
    """Outputs of all jobs of some rules."""
    return [output for stage in jobs.stages(CONFIG) if stage.name in names for output in stage.outputs]


def all_manifests():
    """Manifests of all gradient rows and matrix rows: asked for by name, so that a deleted one is made again (as an intermediate file
    Snakemake would not miss it)."""
    collected = (
        "check_base",
        "warm_up",
        "fit_curvature",
        "collect_pool_gradients",
        "collect_target_gradients",
        "collect_pool_states",
        "collect_target_states",
        "assemble_attribution",
        "seal_attribution",
        "fit_influence_model",
    )
    return outputs_of(*collected)


def scores_of(runs):
    """What makes the scores of runs: their files, or the manifests of their folds."""
    if CONFIG.jobs.runs == "together":
        return list(dict.fromkeys(LAYOUT.fold_manifest(run.selector, run.selection_seed) for run in runs))
    return experiment.score_files(CONFIG, runs)


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
        *scores_of(experiment.experiment_runs(CONFIG)),
        *experiment.selections(CONFIG),
        *outputs_of("seal_attribution", "decontaminate", "prepare_targets", "validate_influence"),
        LAYOUT.pool_manifest,
        *(experiment.score_files(SECOND_MODEL) if SECOND_MODEL else []),
    ]


def something_to_report(wildcards):
    """The report's inputs; ends snakemake where nothing is evaluated, before any job. Selections and matrix can still be asked for."""
    if experiment.evaluations(CONFIG):
        return report_inputs()
    print(
        "error: tasks: none names a suite, so nothing is evaluated and there is nothing to report; write suite and lm_eval_tasks under a "
        "task and the suite under suites, or ask for the target selections or matrix",
        file=sys.stderr,
    )
    sys.exit(2)


def something_early(wildcards):
    """What a first look waits for, as `something_to_report`."""
    if experiment.evaluations(CONFIG):
        return scores_of(experiment.first_runs(CONFIG))
    return something_to_report(wildcards)


def something_to_validate(wildcards):
    """The comparison of estimators; ends snakemake where none are named, before any job."""
    if CONFIG.validation.estimators:
        return LAYOUT.validation
    print(
        "error: validation.estimators: none are named, so there is nothing to compare; write some of "
        + ", ".join([*(each.name for each in ESTIMATORS), *OTHERS]),
        file=sys.stderr,
    )
    sys.exit(2)
