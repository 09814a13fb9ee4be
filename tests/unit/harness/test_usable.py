"""Metrics that are no share of right answers, and answers longer than the context, are refused before anything is trained."""

from pathlib import Path

import pytest

from equipoise.config_file import parse_config
from equipoise.errors import UserError
from equipoise.harness.usable import refuse_unusable_tasks
from helpers.evaluation_experiment import evaluation_values

EXACT = "metric: exact_match\n    aggregation: mean\n    higher_is_better: true"
ROLLING = ("output_type: generate_until", "output_type: loglikelihood_rolling")


@pytest.fixture
def values(tiny_values, tmp_path):
    return evaluation_values(tiny_values, tmp_path)


def redefined(folder: Path, *changes: tuple[str, str], task: str = "first") -> None:
    path = folder / "definitions" / f"{task}.yaml"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def test_sound_tasks_pass(values):
    refuse_unusable_tasks(parse_config(values), 64)
    refuse_unusable_tasks(parse_config(values), None)


@pytest.mark.parametrize(
    ("changes", "metric", "said"),
    [
        (
            [(EXACT, "metric: bleu\n    aggregation: bleu\n    higher_is_better: true")],
            "bleu,none",
            "aggregates bleu by bleu, which is no mean",
        ),
        ([ROLLING, (EXACT, "metric: word_perplexity\n    aggregation: weighted_perplexity")], "word_perplexity,none", "word_perplexity by"),
        (
            [(EXACT, f"{EXACT}\n  - metric: bleu\n    aggregation: mean")],
            "bleu,none",
            "bleu of tiny_first is a list, no number from 0 to 1",
        ),
        ([], "exact_match,strict", "does not report 'exact_match,strict'; write one of exact_match,none"),
        ([], "acc,none", "does not report 'acc,none'"),
    ],
)
def test_a_metric_that_is_no_share_of_right_answers_is_refused(values, tmp_path, changes, metric, said):
    redefined(tmp_path, *changes)
    values["tasks"]["first"]["metric"] = metric
    with pytest.raises(UserError, match=rf"tasks.first.metric: .*{said}"):
        refuse_unusable_tasks(parse_config(values), 2048)


def test_a_likelihood_that_is_no_share_is_refused(values, tmp_path):
    redefined(tmp_path, ("output_type: multiple_choice", "output_type: loglikelihood"), task="second")
    redefined(tmp_path, ("metric: acc\n    aggregation: mean", "metric: perplexity\n    aggregation: mean"), task="second")
    values["tasks"]["second"]["metric"] = "perplexity,none"
    with pytest.raises(UserError, match="perplexity of tiny_second is -1 for its own reference, no number from 0 to 1"):
        refuse_unusable_tasks(parse_config(values), 2048)


def test_answers_that_leave_no_room_for_a_prompt_are_refused(values):
    with pytest.raises(UserError, match=r"suites.chat.max_new_tokens \(not given; tiny_first says 12\): answers of 12 tokens"):
        refuse_unusable_tasks(parse_config(values), 12)
    values["suites"]["chat"]["max_new_tokens"] = 64
    with pytest.raises(UserError, match=r"suites.chat.max_new_tokens: answers of 64 tokens leave no room for a prompt in 64"):
        refuse_unusable_tasks(parse_config(values), 64)
