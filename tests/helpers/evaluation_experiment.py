"""A tiny experiment with local lm-eval tasks, and adapters that change the base's answers."""

from pathlib import Path

from equipoise.config import Experiment, Lora
from equipoise.config_file import parse_config
from equipoise.data.targets import prepare_targets
from equipoise.layout import Run
from equipoise.store.artefact import publish
from equipoise.store.kind import run_names
from helpers.rows import texts, write_jsonl

ANSWERS = """\
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: generate_until
"""
"""Answers that a model writes to the rows of a local file."""

GENERATE = (
    "task: tiny_{name}\n"
    + ANSWERS
    + """\
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{response}}}}"
num_fewshot: 0
generation_kwargs:
  until: ["{stop}"]
  do_sample: false
  max_gen_toks: 12
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""
)
CHOICE = """\
task: tiny_{name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: ["w1", "w2 w3", "w4"]
doc_to_target: "{{{{answer}}}}"
num_fewshot: {shots}
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""


def evaluation_values(values: dict, folder: Path, test_rows: int = 30, shots: int = 0) -> dict:
    """`tiny_values` with a generating task `first` (suite `chat`) and a multiple-choice task `second` (suite `plain`)."""
    definitions = folder / "definitions"
    definitions.mkdir()
    first = write_jsonl(folder / "first-test.jsonl", [{**row, "prompt": f"w9 {row['prompt']}"} for row in texts(test_rows, 3)])
    second = write_jsonl(
        folder / "second-test.jsonl",
        [{**row, "prompt": f"w8 {row['prompt']}", "answer": i % 3} for i, row in enumerate(texts(test_rows, 5))],
    )
    (definitions / "first.yaml").write_text(GENERATE.format(name="first", file=first, stop="w7"))
    (definitions / "second.yaml").write_text(CHOICE.format(name="second", file=second, shots=shots))
    values["tasks"]["first"] |= {"suite": "chat", "lm_eval_tasks": ["tiny_first"]}
    values["tasks"]["second"] |= {"suite": "plain", "lm_eval_tasks": ["tiny_second"], "metric": "acc,none"}
    values["suites"] = {
        "chat": {"include_path": str(definitions), "batch_size": 8},
        "plain": {"include_path": str(definitions), "batch_size": 8, "chat": False},
    }
    return values


def evaluation_of(values: dict, folder: Path, run: Run) -> Experiment:
    """`evaluation_values` of eight items, `first` by answers and by loss, with validation examples and an adapter of `run`."""
    values = evaluation_values(values, folder, test_rows=8)
    values["suites"]["chat"]["measure"] = "both"
    config = parse_config(values)
    prepare_targets(config, list(config.tasks))
    make_adapter(config, run, 1)
    return config


def make_adapter(config: Experiment, run: Run, seed: int) -> str:
    """Saves an adapter with large random weights as `run`'s, so that answers differ from the base's."""
    import torch

    from equipoise.modelling.adapter import attach_adapter
    from equipoise.modelling.base import load_base

    adapted = attach_adapter(load_base(config.model, "fp32", "cpu"), Lora(rank=4, alpha=8, dropout=0.0), seed)
    torch.manual_seed(seed)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    folder = config.layout.adapter(run)
    adapted.save_pretrained(folder)
    publish(config, "run", run_names(run), sorted(Path(folder).iterdir()), run=vars(run), fingerprint=f"adapter {seed}")
    return folder
