"""What the keys of a configuration may hold, and what they do to results: the types and marks that the sections in config.py use."""

import re
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from equipoise.budgets import Budget, parse_budget
from equipoise.errors import UserError
from equipoise.estimators import ESTIMATORS, OTHERS
from equipoise.seeds import LARGEST_SEED
from equipoise.selectors import selector_names

LARGEST = 10**12
"""More than anything that is counted here: rows, tokens, numbers of a gradient."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


ATTENTION, ALL_LINEAR = "attention", "all-linear"
"""Choices of `lora.target_modules` beside names."""
PAPER, OWN = "paper", "own"
"""Choices of `model.chat_template` beside a file."""
UNQUANTISED, FOUR_BITS, EIGHT_BITS = "none", "nf4", "int8"
"""Choices of a suite's quantisation; a base is trained in the first two alone."""


class Effect(Enum):
    """What a key does to results, marked at the key; a key without a mark determines a result (see determinants.py)."""

    NONE = "changes no byte of a result, only where or how the work is done"
    PLACE = "names the folder that results lie in"
    JOBS = "says which jobs there are and how work is cut into them, not what comes out"
    CONTENT = "names files or hub data, whose content counts instead"


NO_EFFECT, PLACE, JOBS, CONTENT = Effect.NONE, Effect.PLACE, Effect.JOBS, Effect.CONTENT


def _budget(value: object) -> Budget:
    try:
        return parse_budget(value)
    except UserError as error:
        raise ValueError(str(error)) from None


def _known_selector(name: str) -> str:
    if name not in selector_names():
        raise ValueError(f"no selector {name!r}; write one of {', '.join(selector_names())}")
    return name


def _targets(value: object) -> object:
    choices = (ATTENTION, ALL_LINEAR)
    names = value if isinstance(value, list) and value and all(isinstance(name, str) for name in value) else [ATTENTION]
    if value not in choices and set(choices) & set(names):
        raise ValueError(f"write {ATTENTION} or {ALL_LINEAR} alone, or a list of the names of linear maps")
    return value


def _trainable(value: object) -> object:
    if value == EIGHT_BITS:
        raise ValueError(
            "int8 is for evaluation only: it quantises a map's inputs together with their neighbours' in the batch, so that a gradient "
            "would "
            "depend on its batch; write nf4, or suites.<name>.quantisation: int8"
        )
    return value


BudgetField = Annotated[int | float, BeforeValidator(_budget)]
SelectorName = Annotated[str, AfterValidator(_known_selector)]
EstimatorName = Literal[*(each.name for each in ESTIMATORS), *OTHERS]
Name = Annotated[str, Field(pattern=NAME, max_length=100)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Seeds = Annotated[list[Seed], JOBS]
Files = Annotated[list[Annotated[str, Field(min_length=1)]], CONTENT]
Source = Annotated[str, Field(min_length=1), CONTENT]
AnySource = Annotated[str | None, CONTENT]
Cut = Annotated[Literal["separate", "together"], JOBS]
TargetModules = Annotated[Literal["attention", "all-linear"] | list[str], BeforeValidator(_targets), CONTENT]
Quantisation = Annotated[Literal["none", "nf4"], BeforeValidator(_trainable)]
Positive = Annotated[int, Field(ge=1)]
StageName = Literal[
    *("default", "generate_miniature", "decontaminate", "prepare_pool", "prepare_targets", "check_base", "warm_up"),
    *(
        "fit_curvature",
        "choose_dimension",
        "collect_pool_gradients",
        "collect_target_gradients",
        "collect_pool_states",
        "score_pool",
        "collect_target_states",
        "assemble_attribution",
        "fit_influence_model",
        "seal_attribution",
        "rank",
        "select_budget",
    ),
    *("fine_tune", "evaluate", "fine_tune_and_evaluate", "measure_one_step", "retrain", "validate_influence", "report"),
]


class Section(BaseModel):
    """What all sections share: unknown keys are errors, numbers may come as text from the command line."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _possible(cls, value: Any) -> Any:
        """Refuses numbers that count nothing, and texts that neither a file nor a path can hold."""
        for each in value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]:
            if type(each) is int and each > LARGEST:
                raise ValueError(f"a number of {len(str(each)) if each < 10**4000 else 'thousands of'} digits; write at most {LARGEST}")
            if isinstance(each, str) and re.search("[\\x00\\ud800-\\udfff]", each):
                raise ValueError("a text with a null or half of a surrogate pair; write it without")
        return value
