"""Evaluates the runs named on the command line on all suites of a configuration, in one session: `python vllm_session.py CONFIG RUN...`."""

import sys


def main(path: str, runs: list[str]) -> None:
    """Needs the files of evaluation alone, so that it runs in vLLM's environment; vLLM's processes import this file again."""
    from equipoise.config_file import read_config
    from equipoise.evaluation.evaluate import evaluate
    from equipoise.evaluation.session import Session
    from equipoise.experiment import evaluations
    from equipoise.layout import Run

    config = read_config(path)
    session = Session(config)
    for text in runs:
        selector, selection_seed, budget, epochs, seed = text.split(",")
        for suite, suite_seed in evaluations(config):
            evaluate(config, Run(selector, int(selection_seed), budget, int(epochs), int(seed)), suite, suite_seed, session)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
