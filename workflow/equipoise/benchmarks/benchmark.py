"""What a benchmark says about itself; everything else is the same for all (data/targets.py, evaluation/items.py)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Doc = dict[str, Any]


@dataclass(frozen=True)
class Items:
    """A benchmark before the hold-out, for planning: items are its own count, lengths are assumed from its texts, in tokens."""

    items: int
    leaves: int
    """lm-eval tasks that its items are spread over."""

    prompt: int
    answer: int
    """On average; 0: scored, not generated."""

    cap: int = 0
    """Longest answer, as its lm-eval tasks say (lm-eval's 256 where they say nothing)."""

    held_out_each: int = 1
    """Items that leave the test set with one validation example."""


@dataclass(frozen=True)
class Benchmark:
    """Where validation examples come from and what evaluates them."""

    items: Items
    """What `plan` reckons with."""

    tasks: tuple[str, ...] = ()
    """Its own lm-eval tasks, drawn from when the task of the experiment names none (it takes part in the matrix only); none: the
    user's files are all there is."""

    metric: str = "exact_match,none"
    """lm-eval metric and filter of the score, unless the task of the experiment says another."""

    published: str | None = None
    """Its column in the paper's published tables."""

    response: Callable[[Any, Doc, str], str] | None = None
    """(lm-eval task, document, its target) -> the response to learn: what the evaluation counts as right."""

    files: Literal["examples", "responses"] | None = None
    """What a task's files hold, {prompt, response} each: examples to draw from, or responses to the benchmark's own prompts."""

    accept: Callable[[Any, Doc, str], bool] | None = None
    """(lm-eval task, document, response) -> whether a response from the files may serve."""

    columns: tuple[str, ...] = ()
    """Columns of its data that validation examples and grading read, whatever the lm-eval tasks read besides."""

    searched: tuple[str, ...] = ()
    """Columns whose words `decontaminate` looks for in the pool: an item's own, without the prompt around them."""

    chat: bool = True
    """Whether prompts are in chat form when no suite says so."""

    num_fewshot: int | None = None
    """Shots of the prompts when no suite says so; none: as the lm-eval task says."""

    split: str | None = None
    """Split to draw from in paper mode; none: the split that is evaluated."""

    leak_free_split: str | None = None
    """Split to draw from in leak_free mode; none: a file of substitutes is needed."""

    leak_free_evaluates: Callable[[Doc], bool] | None = None
    """Documents that are evaluated in leak_free mode; none: all."""

    family: Callable[[Doc], str] | None = None
    """Documents of one family leave the test set together."""

    runs_programs: bool = False
    """Whether its evaluation runs programs that the model writes."""

    punkt_tab: frozenset[str] = frozenset()
    """Instructions (`instruction_id_list`) that cannot be checked without NLTK's punkt_tab, which no hub data bring."""

    @property
    def substitutable(self) -> bool:
        """Whether it has no split but its test set, so that leak_free mode needs a file of substitutes."""
        return bool(self.tasks) and self.leak_free_split is None
