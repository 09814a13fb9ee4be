"""An experiment that is evaluated by one backend or the other, and what came out."""

import json
from pathlib import Path

import yaml

from equipoise.config_file import parse_config
from equipoise.data.targets import prepare_targets
from equipoise.layout import Run
from helpers.evaluation_experiment import make_adapter
from helpers.vllm_session import main as evaluate_in_one_session

ZERO, TUNED = Run("zero_shot", 0, "1.0", 0, 0), Run("bids", 0, "0.1", 1, 0)


def with_backend(values: dict, backend: str, results: Path) -> dict:
    suites = {name: {**suite, "backend": backend} for name, suite in values["suites"].items()}
    return {**values, "suites": suites, "results": str(results)}


def choices(folder: Path, *texts: str) -> None:
    """Gives the multiple-choice task other choices: of one length, the model's taste decides."""
    definition = folder / "definitions" / "second.yaml"
    definition.write_text(definition.read_text().replace('["w1", "w2 w3", "w4"]', json.dumps(texts)))


def prepared(values: dict, results: Path, backend: str):
    """An experiment with its validation sets and an adapter of `TUNED`, ready for evaluation."""
    config = parse_config(with_backend(values, backend, results))
    prepare_targets(config, list(config.tasks))
    make_adapter(config, TUNED, 1)
    return config


def answers(config) -> dict[tuple[str, str, int], list[tuple]]:
    """(prompt, response, score) of every item by selector, suite and suite seed."""
    layout = config.layout
    found = {}
    for run in (ZERO, TUNED):
        for name, suite in config.suites.items():
            for seed in suite.seeds:
                rows = [json.loads(line) for line in Path(layout.samples(run, name, seed)).read_text().splitlines()]
                found[run.selector, name, seed] = [(row["prompt"], row["response"], row["score"]) for row in rows]
    return found


def session_arguments(config, folder: Path) -> list[str]:
    path = folder / f"{Path(config.results).name}.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return [str(path), *(",".join(map(str, vars(run).values())) for run in (ZERO, TUNED))]


def evaluate_all(config, folder: Path) -> dict[tuple[str, str, int], list[tuple]]:
    path, *runs = session_arguments(config, folder)
    evaluate_in_one_session(path, runs)
    return answers(config)
