"""The configuration of an experiment: one model per section, a description per field; the only place a default lives (with the sections
of `config_model.py` and `config_gradients.py`).

`config_file.py` reads YAML into `Experiment` and turns every mistake into one line; `config.yaml` and the JSON schema are generated from
this module. The types and marks of the keys are in `config_keys.py`, the combinations that cannot work in
`config_checks.py` and, of tasks and suites, in `config_task_checks.py`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from equipoise.benchmarks import BENCHMARKS
from equipoise.config_checks import impossible
from equipoise.config_gradients import Gradients
from equipoise.config_keys import (
    JOBS,
    NO_EFFECT,
    PLACE,
    AnySource,
    BudgetField,
    Cut,
    Files,
    Name,
    Positive,
    Section,
    Seed,
    Seeds,
    SelectorName,
    Source,
    StageName,
)
from equipoise.config_model import Lora, Model, Training
from equipoise.config_validation import Validation
from equipoise.layout import CHUNK_ROWS, Layout


class Pool(Section):
    """The instruction data to choose from."""

    files: Files = Field(
        [], description="Files, folders or patterns: JSON, JSON Lines, CSV, Parquet or Arrow, of any form (docs/own-data.md)."
    )
    dataset: AnySource = Field(None, description="A hub data set id instead of files.")
    name: AnySource = Field(None, description="Configuration of the hub data set, where it has several.")
    revision: Source = Field("main", description="Branch, tag or commit of the hub data set.")
    split: Source = Field("train", description="Split of the hub data set.")
    format: str | None = Field(None, description="Form of the rows (alpaca, sharegpt, ...); none: recognised by their fields.")
    columns: dict[str, str] = Field({}, description="A form's field -> your name for it, e.g. {prompt: query, response: reply}.")
    bad_rows: Literal["refuse", "skip"] = Field("refuse", description="Rows that cannot be taken: refuse the pool, or leave them out.")
    repeated_ids: Literal["refuse", "rename"] = Field("refuse", description="Rows whose id occurred before: a bad row, or another id.")
    deduplicate: Literal["none", "exact", "near"] = Field(
        "none", description="Leave out rows that say what an earlier one says: none, exact ones, or also near ones (MinHash)."
    )
    limit: int | None = Field(None, ge=1, description="How many rows to take, from the first on; none: all.")
    decontaminate: Literal["skip", "report", "remove"] = Field(
        "skip",
        description="Rows that share 13 words in a row with a test item: skip the search, report them by task, or also remove them.",
    )
    shards: Annotated[int, JOBS] = Field(
        1, ge=1, le=1_000_000, description="Number of gradient jobs the pool is cut into, at most one per 1,024 rows."
    )

    @model_validator(mode="after")
    def _one_source(self):
        if bool(self.files) == bool(self.dataset):
            raise ValueError("give either pool.files (a list of files, folders or patterns) or pool.dataset (a hub id)")
        return self

    @property
    def most_shards(self) -> int | None:
        """Most shards that the first `limit` rows can make; none without a limit."""
        return self.limit and -(-self.limit // CHUNK_ROWS)


class Task(Section):
    """One target task: where its validation examples come from and what evaluates it."""

    capability: str = Field(description="Capability the task stands for (coding, math, logic, ...).")
    benchmark: Literal[*BENCHMARKS] = Field(
        "jsonl", description="Origin of validation examples: jsonl (your files), lm_eval (lm_eval_tasks, any) or a benchmark's own data."
    )
    files: Files = Field([], description="For `jsonl`: files, of the forms pools have; for ifeval: files of {key, prompt, response}.")
    substitutes: Files = Field([], description="For `validation: leak_free`: files that replace test items, of the forms pools have.")
    format: str | None = Field(None, description="Form of the files' rows, as pool.format.")
    columns: dict[str, str] = Field({}, description="A form's field -> the files' name for it, as pool.columns.")
    bad_rows: Literal["refuse", "skip"] = Field("refuse", description="Rows of the files that cannot be taken: refuse, or leave them out.")
    revision: AnySource = Field(None, description="Branch, tag or commit of the hub data; none: as the lm-eval task says.")
    test_files: Files = Field(
        [], description="Items of a suite that measures loss, instead of lm_eval_tasks' (none: rows of files that were not drawn)."
    )
    suite: str | None = Field(None, description="Suite that evaluates the task; none: it takes part in the matrix only.")
    lm_eval_tasks: list[str] = Field([], description="lm-eval tasks or groups whose scores, averaged over items, are the task's score.")
    metric: str = Field("exact_match,none", description="lm-eval metric and filter of the score; left out: the benchmark's.")

    @model_validator(mode="before")
    @classmethod
    def _metric_of_its_benchmark(cls, values: Any) -> Any:
        known = BENCHMARKS.get(str(values.get("benchmark"))) if isinstance(values, dict) else None
        return {"metric": known.metric, **values} if known else values


class Targets(Section):
    """The validation examples of every task."""

    size: int = Field(50, ge=1, description="Validation examples per task, drawn uniformly by seed.")
    max_length: int | None = Field(
        None, ge=8, description="Longest validation example in tokens, shots included; none: as model.max_length."
    )
    validation: Literal["paper", "leak_free"] = Field(
        "paper", description="paper: test items may serve, and then leave the test set; leak_free: no test item serves."
    )

    def longest(self, model: Model) -> int:
        """Tokens at which a validation example is cut; few-shot prompts may need more than training does."""
        return self.max_length or model.max_length


class Warmup(Section):
    """The warm-up of the selection model."""

    epochs: int = Field(4, ge=1, description="Epochs; each leaves a checkpoint at which gradients are collected.")
    seeds: Seeds = Field(
        [0],
        min_length=1,
        description=(
            "Seeds of the warm-ups. Influence is of the checkpoints of all; states, and losses over epochs (s2l, loss_drop), of the first "
            "warm-up alone."
        ),
    )
    fraction: float = Field(1.0, gt=0, le=1, description="Share of the pool to warm up on (the paper: 1.0; LESS: 0.05).")
    files: Files = Field(
        [], description="Warm up on these instead, read as the pool's, so that new pool files leave the adapters unchanged."
    )


class Selection(Section):
    """How rankings are made."""

    normalisation: Literal["zscore", "rank"] = Field(
        "zscore", description="Column normalisation of bids and its forms, instance_max_normalized and round_robin_floor."
    )
    rank_to: BudgetField = Field(0.25, description="How far rankings go; budgets up to here are prefixes of one ranking.")
    clusters: int = Field(100, ge=1, description="Clusters of loss trajectories that the selector s2l draws from in turns.")
    seeds: Seeds = Field([0, 1], min_length=1, description="Selection seeds of `random`, crossed with the fine-tuning seeds.")


class ExtraRun(Section):
    """One more fine-tuning beside the sweep."""

    selector: SelectorName = Field(description="Selector.")
    budget: BudgetField = Field(description="Budget.")
    epochs: int = Field(ge=1, description="Epochs.")


class Finetune(Section):
    """The fine-tunings of the target model."""

    epochs: Annotated[int, JOBS] = Field(2, ge=1, description="Epochs of every fine-tuning in the sweep.")
    full_epochs: Annotated[list[Positive], JOBS] = Field(
        [1, 4], min_length=1, description="Epochs of the fine-tunings on the whole pool (`full`)."
    )
    seeds: Seeds = Field([0, 1, 2], min_length=1, description="Fine-tuning seeds.")
    extra: Annotated[list[ExtraRun], JOBS] = Field([], description="Further runs, e.g. {selector: bids, budget: 0.15, epochs: 4}.")
    zero_shot: Annotated[bool, JOBS] = Field(True, description="Also evaluate the base model as it is.")


class Suite(Section):
    """One lm-eval invocation, or the held-out loss on the items it would ask."""

    measure: Annotated[Literal["accuracy", "loss", "both"], JOBS] = Field(
        "accuracy", description="accuracy (answers are checked), loss (of the reference answers, in nats a token: no decoding), or both."
    )
    chat: bool = Field(True, description="Apply the chat format to prompts.")
    num_fewshot: int | None = Field(None, ge=0, description="Shots; none: as the task says.")
    include_path: AnySource = Field(None, description="Folder of further lm-eval task definitions.")
    temperature: float = Field(0.0, ge=0, description="0: greedy decoding.")
    max_new_tokens: int | None = Field(None, ge=1, description="Longest answer in tokens; none: as the task says.")
    think_end: str | None = Field(None, min_length=1, description="What ends a section of thinking, as </think>: no part of the answer.")
    seeds: Seeds = Field([0], min_length=1, description="Generation seeds; the score is their median.")
    limit: int | None = Field(None, ge=1, description="Items per lm-eval task, after the hold-out; for quick trials.")
    batch_size: int = Field(16, ge=1, description="Items in one batch.")
    quantisation: Literal["none", "nf4", "int8"] | None = Field(
        None, description="The base's linear maps in this suite: none (whole), nf4 or int8; left out: as model.quantisation."
    )
    backend: Literal["hf", "vllm"] = Field("hf", description="What generates: transformers, or vLLM (envs/vllm-requirements.txt).")
    python: Annotated[str | None, NO_EFFECT] = Field(
        None, description="Interpreter of this suite's evaluation, such as vLLM's; none: the experiment's."
    )


class Sandbox(Section):
    """Execution of programs that models write (HumanEval, MBPP). Off unless you opt in."""

    mode: Annotated[Literal["off", "auto", "bubblewrap", "namespaces", "process", "podman", "runsc"], NO_EFFECT] = Field(
        "off",
        description=(
            "WARNING: anything but `off` runs programs written by a language model on this machine. bubblewrap, namespaces (our own): "
            "without network, processes, devices and any file but Python's and system libraries (/usr, /lib), read-only; auto: the first "
            "of the two that works here. process: a child process behind Landlock and a filter of system calls, which reads no other "
            "file either, but sees whether a path exists, its size, owner and times. podman, runsc: containers that start slower."
        ),
    )
    seconds: int = Field(10, ge=1, description="Processor time of one program with its tests; four times as long by the clock.")
    memory_mb: int = Field(1024, ge=64, description="Address space of one program.")


class Jobs(Section):
    """How work is cut into jobs. Nothing here changes a result."""

    epochs: Cut = Field("separate", description="Gradients of all epochs in one job, or one job per epoch.")
    tasks: Cut = Field("separate", description="All target tasks in one job, or one job per task.")
    runs: Cut = Field("separate", description="All runs of a selector in one job, or one job per run.")
    assembly: Annotated[int, JOBS] = Field(
        1, ge=1, description="Shards whose matrix rows one job assembles; write 100 for thousands of shards."
    )
    gpus: Annotated[int, NO_EFFECT] = Field(
        1, ge=1, description="GPUs of a job that collects gradients or evaluates; more than one with model.device_map: auto."
    )
    threads: Annotated[dict[StageName, Positive], NO_EFFECT] = Field(
        {}, description="CPU threads of a stage, by rule name; `default` for the others."
    )


class Report(Section):
    """What the report shows beside the experiment's own results."""

    second_model: str | None = Field(
        None, description="A finished experiment with another model (name, results folder or YAML file): Table 4 shows both."
    )


class Miniature(Section):
    """The generated pool of the embedded experiment."""

    profile: Literal["noisy", "clean", "conflicting"] = Field(
        "noisy", description="Pool: noisy, clean, or conflicting (noisy, with two tasks that want opposite answers and one of few rows)."
    )
    seed: Seed = Field(0, description="Seed of the pool.")

    @property
    def folder(self) -> str:
        """Where the data of the pool lie, relative to the working directory: `resources/miniature/<profile>-<seed>`."""
        return f"resources/miniature/{self.profile}-{self.seed}"


class Experiment(Section):
    """An experiment: all its sections, and the keys that belong to none."""

    experiment: Annotated[Name, PLACE] = Field(description="Name; results go to <results>/<experiment>/.")
    results: Annotated[str, PLACE] = Field("results", min_length=1, description="Folder of all results.")
    python: Annotated[str, NO_EFFECT] = Field(
        "python", min_length=1, description="Interpreter of the stages; `python` is the one that runs snakemake."
    )
    container: Annotated[str | None, NO_EFFECT] = Field(
        None, description="For --sdm apptainer: the image of the stages, a .sif file or docker://... (made by envs/Dockerfile)."
    )
    seed: Seed = Field(0, description="Every other seed derives from this one.")
    budgets: Annotated[list[BudgetField], JOBS] = Field([0.05, 0.1, 0.15], min_length=1, description="Budgets: shares in (0, 1] or counts.")
    selectors: Annotated[list[SelectorName], JOBS] = Field(
        ["random", "task_max", "sum", "instance_max", "instance_max_normalized", "rds", "bids", "full"],
        min_length=1,
        description="Selectors to compare.",
    )
    model: Model = Field(description="The base model.")
    lora: Lora = Field(default_factory=Lora, description="The LoRA adapter.")
    pool: Pool = Field(description="The pool.")
    targets: Targets = Field(default_factory=Targets, description="Validation examples.")
    tasks: dict[Name, Task] = Field(min_length=1, description="Target tasks by name, in the order of the tables.")
    suites: dict[Name, Suite] = Field({}, description="lm-eval invocations by name.")
    training: Training = Field(default_factory=Training, description="Hyper-parameters of warm-up and fine-tuning.")
    warmup: Warmup = Field(default_factory=Warmup, description="Warm-up of the selection model.")
    gradients: Gradients = Field(default_factory=Gradients, description="Influence gradients.")
    selection: Selection = Field(default_factory=Selection, description="Rankings.")
    finetune: Finetune = Field(default_factory=Finetune, description="Fine-tunings.")
    validation: Validation = Field(default_factory=Validation, description="What estimators of influence are worth.")
    sandbox: Sandbox = Field(default_factory=Sandbox, description="Execution of model-written programs.")
    jobs: Jobs = Field(default_factory=Jobs, description="How work is cut into jobs.")
    report: Report = Field(default_factory=Report, description="The report.")
    miniature: Miniature | None = Field(None, description="Set by the embedded experiment only: generate its data.")

    @model_validator(mode="after")
    def _keys_go_together(self):
        if clauses := list(impossible(self)):
            raise ValueError("; ".join(clauses))
        return self

    @property
    def layout(self) -> Layout:
        """Where every file of the experiment lies."""
        return Layout(self.results, self.experiment, self.model.name, self.gradients.place)
