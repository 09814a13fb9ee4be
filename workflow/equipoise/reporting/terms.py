"""The terms of the report, explained where they stand: every section of the page lists those that its own words use."""

import re

TERMS = {
    "AID": "average influence distribution: the mean influence of a set of rows on each validation example, in the matrix's unit",
    "THI": "task with highest influence: every row counts for the task on whose validation examples its influence is highest",
    "z-scored": "every column of the matrix minus its mean, over its standard deviation, so that no task's scale decides",
    "influence": "how much training on a pool row is expected to lower the loss on a validation example, to first order",
    "macro average": "the plain mean over the tasks' scores",
    "held-out loss": "mean loss on the tokens of test items' targets, in nats a token: the lower, the better",
    "budget": "the share (or number) of the pool's rows that a selector may choose",
    "LESS": "the selector that takes a row's largest mean influence over tasks (task-wise max)",
    "BIDS": "balanced selection: step by step the row whose z-scored influence on some example most exceeds that of the rows chosen",
    "anchors": "arms that do not compete: the untouched model, the full pool, and the oracle that knows the right answer",
    "bootstrap": "the data drawn again and again with replacement, here runs and test items, to see how far a difference moves by chance",
    "Welch's t-test": "a test of two means from few values a side whose spreads may differ, here the macro averages of runs",
    "Holm": "raises every p-value by the number of comparisons not yet decided, so that many comparisons together rarely err",
    "evenness": "entropy of the counts over its largest possible value: 1 is an even spread over tasks",
    "Jaccard": "rows in both selections over rows in either",
    "margin": "how far a pick's score lies above that of the next best row at its step",
    "hold-out": "the test items that no validation example was made from",
    "principal component": "the direction in which the rows differ most; the second is the one at right angles to it",
    "Q-Q plot": "observed quantiles against those of a normal distribution: a straight line where they agree",
}


def used_terms(text: str) -> list[tuple[str, str]]:
    """The terms that occur in a text, with what they mean, in the order above; names in capitals only as they are written."""
    found = [term for term in TERMS if re.search(rf"\b{re.escape(term)}", text, re.NOFLAG if term.isupper() else re.IGNORECASE)]
    return [(term, TERMS[term]) for term in found]
