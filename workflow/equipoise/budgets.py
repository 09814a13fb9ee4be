"""Budgets: a share of the valid pool rows or a count of them, in exact arithmetic (method.md, "Budgets")."""

from decimal import Decimal
from fractions import Fraction

from equipoise.errors import UserError

Budget = int | float


def parse_budget(value: object) -> Budget:
    """Coerces `value` to a budget: an integer (or integer text) is a count, anything with a point is a share.

    Raises `UserError` for anything that is neither a share in (0, 1] nor a count of at least 1.
    """
    if isinstance(value, str):
        text = value.strip()
        try:
            value = int(text)
        except ValueError:
            try:
                value = float(text)
            except ValueError:
                raise UserError(f"budget {text!r} is not a number; write a share such as 0.05 or a count such as 500") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserError(f"budget {value!r} is not a number; write a share such as 0.05 or a count such as 500")
    if isinstance(value, int):
        if value < 1:
            raise UserError(f"budget {value} selects nothing; write a share in (0, 1] such as 0.05 or a count of at least 1")
        return value
    if not 0.0 < value <= 1.0:
        raise UserError(f"budget {value} is not a share in (0, 1]; write a share such as 0.05, or a count without a point such as 500")
    return value


def budget_label(budget: Budget) -> str:
    """The text of a budget in paths: `0.05` for a share (never `5e-02`), `500` for a count; `parse_budget` reads it back."""
    return str(budget) if isinstance(budget, int) else format(Decimal(repr(float(budget))), "f")


def budget_rows(budget: Budget, valid_rows: int) -> int:
    """Number of rows a budget buys: floor(Fraction(str(share)) * valid_rows), or the count itself.

    Raises `UserError` when the budget buys no row or more than `valid_rows`.
    """
    rows = budget if isinstance(budget, int) else int(Fraction(str(budget)) * valid_rows)
    if rows < 1:
        raise UserError(f"budget {budget} of {valid_rows} valid rows selects nothing; write a larger share or a count")
    if rows > valid_rows:
        raise UserError(f"budget {budget} asks for more than the {valid_rows} valid rows; write at most {valid_rows}")
    return rows
