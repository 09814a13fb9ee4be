"""What a benchmark says about itself; everything else is the same for all (data/targets.py, evaluation/items.py)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Doc = dict[str, Any]


@dataclass(frozen=True)
class Items:
    """A benchmark before the hold-out, as planned: how many items (its own count) in how many leaf tasks; tokens of a prompt and of an
    answer on average (assumed from its texts; an answer of 0 is scored, not generated) and at most (`cap`, as its lm-eval tasks say;
    lm-eval's 256 where they say nothing); items that leave the test set with one validation example."""

    items: int
    leaves: int
    prompt: int
    answer: int
    cap: int = 0
    held_out_each: int = 1


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: where validation examples come from and what evaluates them.

    items: what `plan` counts with. tasks: its lm-eval tasks, drawn from when the task of the experiment names none (it takes part in the
    matrix only); none where the user's files are all there is. metric: lm-eval metric and filter of the score unless the task of the
    experiment names another. published: its column in the paper's tables.
    any_task: it is whatever lm-eval tasks the task of the experiment names (harness/drawing.py).
    response: (lm-eval task, document, its target) -> the response to learn, what the evaluation counts as right; none: the target where
    lm-eval scores it. files: what a task's
    files of {prompt, response} hold: examples to draw from, or responses to the benchmark's own prompts. accept: (lm-eval task, document,
    response) -> whether a response of the files may serve.
    columns: those of its data that validation examples and grading read, whatever the lm-eval tasks read besides. searched: those whose
    words `decontaminate` looks for in the pool: an item's own, without the prompt around them.
    chat, num_fewshot: of the prompts when no suite says so (shots: none means as the lm-eval task says).
    split: drawn from in paper mode; none: the split that is evaluated. leak_free_split: drawn from in leak_free mode; none: a file of
    substitutes is needed. leak_free_evaluates: documents that are evaluated in leak_free mode; none: all. family: documents of one family
    leave the test set together.
    runs_programs: its evaluation runs programs that the model writes. punkt_tab: instructions (`instruction_id_list`) that cannot be
    checked without NLTK's punkt_tab, which no hub data bring.
    """

    items: Items
    tasks: tuple[str, ...] = ()
    metric: str = "exact_match,none"
    published: str | None = None
    any_task: bool = False
    response: Callable[[Any, Doc, str], str] | None = None
    files: Literal["examples", "responses"] | None = None
    accept: Callable[[Any, Doc, str], bool] | None = None
    columns: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()
    chat: bool = True
    num_fewshot: int | None = None
    split: str | None = None
    leak_free_split: str | None = None
    leak_free_evaluates: Callable[[Doc], bool] | None = None
    family: Callable[[Doc], str] | None = None
    runs_programs: bool = False
    punkt_tab: frozenset[str] = frozenset()

    @property
    def substitutable(self) -> bool:
        """Whether it has no split but its test set, so that leak_free mode needs a file of substitutes."""
        return bool(self.tasks) and self.leak_free_split is None
