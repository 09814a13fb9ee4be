"""The generated lm-eval tasks, loaded by the real lm-eval."""

import pytest

from equipoise.miniature.generate import ITEMS, LONGEST_ANSWER, items, lm_eval_task, write_data
from equipoise.miniature.skills import SKILLS


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    from lm_eval.tasks import TaskManager, get_task_dict

    root = tmp_path_factory.mktemp("miniature")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        folder = write_data("noisy", 0)
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_CACHE", str(root / "cache"))
        manager = TaskManager(include_path=str(folder / "lm_eval"), include_defaults=False)
        return get_task_dict([lm_eval_task(name) for name in SKILLS], manager)


@pytest.mark.parametrize("name", SKILLS)
def test_a_task_asks_the_plain_benchmark_prompt_and_knows_the_answer(tasks, name):
    task, expected = tasks[lm_eval_task(name)], items(SKILLS[name], "test")
    documents = list(task.test_docs())
    assert len(documents) == len(expected) == ITEMS["test"]
    assert [task.doc_to_text(document) for document in documents] == [item["prompt"] for item in expected]
    assert [task.doc_to_target(document) for document in documents] == [item["response"] for item in expected]


@pytest.mark.parametrize("name", SKILLS)
def test_an_answer_counts_when_it_matches_but_for_white_space(tasks, name):
    task = tasks[lm_eval_task(name)]
    document = next(iter(task.test_docs()))
    right = document["response"]
    score = {answer: task.process_results(document, [answer])["exact_match"] for answer in (right, f" {right}  ", f"well , {right}", "")}
    assert score == {right: 1.0, f" {right}  ": 1.0, f"well , {right}": 0.0, "": 0.0}


@pytest.mark.parametrize("name", SKILLS)
def test_generation_is_greedy_and_stops_at_a_newline(tasks, name):
    config = tasks[lm_eval_task(name)].config
    assert config.output_type == "generate_until"
    assert config.generation_kwargs == {"until": ["\n", "</s>"], "do_sample": False, "max_gen_toks": LONGEST_ANSWER}
