"""The example of a user's own pool and tasks."""

import json

from helpers.places import REPOSITORY

EXAMPLE = "examples/bring-your-own"


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_validation_and_test_items_of_the_example_do_not_overlap():
    for task in ("sums", "lists"):
        prompts = [{row["prompt"] for row in lines(REPOSITORY / EXAMPLE / part / f"{task}.jsonl")} for part in ("validation", "test")]
        assert not prompts[0] & prompts[1]
        assert not {row["prompt"] for row in lines(REPOSITORY / EXAMPLE / "pool.jsonl")} & (prompts[0] | prompts[1])
