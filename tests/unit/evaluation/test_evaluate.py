"""Evaluation of runs through lm-eval: what is written, what is left out, and that runs do not influence each other."""

import importlib.util
import json
from pathlib import Path

import pytest

from equipoise.config_file import parse_config
from equipoise.data.targets import prepare_targets
from equipoise.errors import UserError
from equipoise.evaluation.evaluate import evaluate
from equipoise.evaluation.session import Session
from equipoise.harness.chosen import choose
from equipoise.layout import Layout, Run
from equipoise.store.manifest import read_manifest
from helpers.artefacts import publish_anew
from helpers.evaluation_experiment import evaluation_values, make_adapter
from helpers.rows import write_jsonl
from helpers.selections import write_selection

ZERO = Run("zero_shot", 0, "1.0", 0, 0)
A, B = Run("bids", 0, "0.1", 1, 0), Run("task_max", 0, "0.1", 1, 0)


@pytest.fixture
def experiment(tiny_values, tmp_path):
    config = parse_config(evaluation_values(tiny_values, tmp_path))
    prepare_targets(config, list(config.tasks))
    return config


def layout(config) -> Layout:
    return config.layout


def samples(config, run, suite, seed=0) -> list[dict]:
    return [json.loads(line) for line in Path(layout(config).samples(run, suite, seed)).read_text().splitlines()]


def evaluate_anew(config, run, suite, seed=0, session=None) -> None:
    """Evaluates although the same scores may be there."""
    Path(layout(config).scores(run, suite, seed)).unlink(missing_ok=True)
    evaluate(config, run, suite, seed, session)


def outcome(config, run, suite) -> tuple[bytes, bytes]:
    at = layout(config)
    return Path(at.samples(run, suite, 0)).read_bytes(), Path(at.scores(run, suite, 0)).read_bytes()


def test_evaluating_a_then_b_then_a_gives_a_twice_the_same_and_leaves_the_base_as_it_was(experiment):
    make_adapter(experiment, A, 1)
    make_adapter(experiment, B, 2)
    session = Session(experiment)
    seen = []
    for run in (ZERO, A, B, A, ZERO):
        for suite in ("chat", "plain"):
            evaluate_anew(experiment, run, suite, 0, session)
        seen.append([outcome(experiment, run, suite) for suite in ("chat", "plain")])
    assert seen[1] == seen[3]
    assert seen[0] == seen[4]
    answers = [[row["response"] for row in samples(experiment, run, "chat")] for run in (ZERO, A, B)]
    assert answers[0] != answers[1] != answers[2] != answers[0]


def test_a_fresh_session_gives_the_same_bytes_as_one_that_has_evaluated_others(experiment):
    make_adapter(experiment, A, 1)
    make_adapter(experiment, B, 2)
    session = Session(experiment)
    evaluate(experiment, B, "chat", 0, session)
    evaluate(experiment, A, "chat", 0, session)
    used = outcome(experiment, A, "chat")
    evaluate_anew(experiment, A, "chat")
    assert outcome(experiment, A, "chat") == used


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_base_that_fine_tuning_has_used_evaluates_as_a_freshly_loaded_one(experiment, monkeypatch, checkpointing):
    """As a fold does it: one base, trained on and evaluated in turns; the session loads no second one."""
    from equipoise.data.pool import prepare_pool
    from equipoise.evaluation import session as sessions
    from equipoise.modelling.base import load_base
    from equipoise.training.fine_tune import fine_tune

    values = experiment.model_dump()
    values["training"]["activation_checkpointing"] = checkpointing
    config = parse_config(values)
    prepare_pool(config)
    base = load_base(config.model, config.model.precision, "cpu")
    for run, rows in ((A, range(20)), (B, range(20, 40))):
        write_selection(config, run.selector, 0, run.budget, [{"row": row} for row in rows])
    with monkeypatch.context() as patch:
        patch.setattr(sessions, "load_base", lambda *_: pytest.fail("loaded again"))
        session, shared = Session(config, base), []
        for run in (A, B):
            fine_tune(config, run, base)
            evaluate(config, run, "chat", 0, session)
            shared.append(outcome(config, run, "chat"))
        evaluate(config, ZERO, "chat", 0, session)
        shared.append(outcome(config, ZERO, "chat"))
    for run, expected in zip((A, B, ZERO), shared, strict=True):
        evaluate_anew(config, run, "chat")
        assert outcome(config, run, "chat") == expected


def test_the_interpreter_of_a_suite_changes_no_fingerprint(experiment):
    evaluate(experiment, ZERO, "chat", 0)
    values = experiment.model_dump()
    values["suites"]["chat"]["python"] = "other/bin/python"
    before = Path(layout(experiment).scores(ZERO, "chat", 0)).stat().st_mtime_ns
    evaluate(parse_config(values), ZERO, "chat", 0)
    assert Path(layout(experiment).scores(ZERO, "chat", 0)).stat().st_mtime_ns == before


def test_scores_are_the_items_mean_and_standard_error_in_per_cent(experiment):
    evaluate(experiment, ZERO, "plain", 0)
    values = [row["score"] for row in samples(experiment, ZERO, "plain")]
    manifest = read_manifest(layout(experiment).scores(ZERO, "plain", 0), "scores")
    mean = sum(values) / 30
    assert 0 < mean < 1
    assert manifest["tasks"]["second"]["score"] == pytest.approx(100 * mean)
    assert manifest["tasks"]["second"]["stderr"] == pytest.approx(100 * (mean * (1 - mean) / 29) ** 0.5)
    assert manifest["tasks"]["second"]["items"] == 30
    assert manifest["run"] == {"selector": "zero_shot", "selection_seed": 0, "budget": "1.0", "epochs": 0, "seed": 0}


def test_multiple_choice_scores_say_whether_the_logged_response_is_the_target(experiment):
    evaluate(experiment, ZERO, "plain", 0)
    rows = samples(experiment, ZERO, "plain")
    assert {row["score"] for row in rows} == {0.0, 1.0}
    assert all((row["response"] == row["target"]) == (row["score"] == 1.0) for row in rows)


def test_a_right_answer_scores_one_and_a_stop_string_ends_it(tiny_values, tmp_path):
    values = evaluation_values(tiny_values, tmp_path)
    config = parse_config(values)
    prepare_targets(config, ["first"])
    evaluate(config, ZERO, "chat", 0)
    rows = samples(config, ZERO, "chat")
    assert all("w7" not in row["response"] for row in rows)
    answered = [{"id": str(i), "prompt": row["prompt"].split("\n")[1], "response": row["response"]} for i, row in enumerate(rows)]
    write_jsonl(
        tmp_path / "first-test.jsonl", [row | {"response": row["response"] if i % 2 else "w0 w0"} for i, row in enumerate(answered)]
    )
    evaluate(config, ZERO, "chat", 0)
    assert [row["score"] for row in samples(config, ZERO, "chat")] == [float(i % 2) for i in range(30)]


def test_validation_examples_that_stand_in_the_test_data_are_not_evaluated(tiny_values, tmp_path):
    values = evaluation_values(tiny_values, tmp_path)
    test = [json.loads(line) for line in (tmp_path / "first-test.jsonl").read_text().splitlines()]
    values["tasks"]["first"]["files"] = [
        write_jsonl(tmp_path / "leak.jsonl", [{**test[i], "prompt": f" {test[i]['prompt']}\n"} for i in (3, 4, 9, 20)])
    ]
    config = parse_config(values)
    prepare_targets(config, ["first"])
    evaluate(config, ZERO, "chat", 0)
    rows = samples(config, ZERO, "chat")
    assert [row["doc_id"] for row in rows] == [i for i in range(30) if i not in (3, 4, 9, 20)]
    known = set(read_manifest(layout(config).target_manifest("first"), "targets")["hashes"])
    assert not known & {row["content_hash"] for row in rows}
    assert read_manifest(layout(config).scores(ZERO, "chat", 0), "scores")["tasks"]["first"]["held_out"] == 4


def test_recorded_hold_outs_are_left_out_and_changed_data_are_refused(experiment, tmp_path):
    def hold_out(fifth):
        said = {"holdout": {"tiny_first": [2, 5]}, "holdout_hashes": {"tiny_first": [hashes[2], fifth]}}
        publish_anew(experiment, "targets", {"task": "first"}, **said)

    hashes = Session(experiment).items("chat").hashes["tiny_first"]
    hold_out(hashes[5])
    assert Session(experiment).items("chat").samples["tiny_first"] == [i for i in range(30) if i not in (2, 5)]
    hold_out(hashes[6])
    with pytest.raises(UserError, match="document 5 of tiny_first has changed"):
        Session(experiment).items("chat")


def test_a_limit_is_applied_after_the_hold_out_and_ids_stay_sorted():
    hashes = [str(i) for i in range(20)]
    kept = choose("leaf", hashes, [0, 1], {"7"}, 6)
    assert kept == sorted(kept)
    assert len(kept) == 6
    assert not {0, 1, 7} & set(kept)
    assert choose("leaf", hashes, [], set(), 100) == list(range(20))
    with pytest.raises(UserError, match=r"smaller targets\.size"):
        choose("leaf", hashes, list(range(20)), set(), None)


def test_shots_from_the_test_split_hold_no_validation_example(tiny_values, tmp_path):
    values = evaluation_values(tiny_values, tmp_path, shots=2)
    test = [json.loads(line) for line in (tmp_path / "second-test.jsonl").read_text().splitlines()]
    values["tasks"]["second"]["files"] = [write_jsonl(tmp_path / "leak.jsonl", test[:25])]
    values["targets"]["size"] = 25
    config = parse_config(values)
    prepare_targets(config, ["second"])
    evaluate(config, ZERO, "plain", 0)
    rows = samples(config, ZERO, "plain")
    assert len(rows) == 5
    for row in rows:
        assert row["prompt"].count("?") == 3
        assert not any(item["prompt"] in row["prompt"] for item in test[:25])


def test_temperature_draws_by_the_suites_seed(tiny_values, tmp_path):
    values = evaluation_values(tiny_values, tmp_path)
    values["suites"]["chat"] |= {"temperature": 0.7, "seeds": [0, 1]}
    config = parse_config(values)
    prepare_targets(config, ["first"])
    session = Session(config)
    for seed in (0, 1):
        evaluate(config, ZERO, "chat", seed, session)
    first, second = (samples(config, ZERO, "chat", seed) for seed in (0, 1))
    assert [row["response"] for row in first] != [row["response"] for row in second]
    evaluate_anew(config, ZERO, "chat")
    assert samples(config, ZERO, "chat") == first


def test_vllm_is_imported_only_when_a_suite_chooses_it(tiny_values, tmp_path):
    if importlib.util.find_spec("vllm") is not None:
        pytest.skip("vllm is installed here")
    values = evaluation_values(tiny_values, tmp_path)
    values["suites"]["chat"]["backend"] = "vllm"
    config = parse_config(values)
    prepare_targets(config, ["first"])
    with pytest.raises(UserError, match=r"backend: vllm, but it cannot be imported here .* envs/vllm-requirements.txt"):
        evaluate(config, ZERO, "chat", 0)


def test_mistakes_are_named(experiment, tiny_values):
    with pytest.raises(UserError, match="no suite 'nothing'; write one of chat, plain"):
        evaluate(experiment, ZERO, "nothing", 0)
    with pytest.raises(UserError, match=r"manifest\.json: missing; run the stage that writes it \(fine_tune\)"):
        evaluate(experiment, A, "chat", 0)
    tiny_values["tasks"]["first"]["metric"] = "bleu,none"
    with pytest.raises(UserError, match="write one of exact_match,none"):
        evaluate(parse_config(tiny_values), ZERO, "chat", 0)
    tiny_values["tasks"]["first"]["lm_eval_tasks"] = ["no_such_task"]
    with pytest.raises(UserError, match="lm-eval has no task 'no_such_task'"):
        evaluate(parse_config(tiny_values), ZERO, "chat", 0)
    Path(layout(experiment).target_manifest("second")).unlink()
    with pytest.raises(UserError, match="missing; run the stage"):
        evaluate(experiment, ZERO, "plain", 0)
