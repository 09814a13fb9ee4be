"""A table: one frame, how its columns are shown, and which cells stand out. `render.py` writes it in four formats."""

from dataclasses import dataclass, field, replace

import pandas as pd

from equipoise.measures import ACCURACY, BY_NAME


@dataclass(frozen=True)
class Column:
    """How a column of the frame is shown.

    key: its name in the frame. header: its heading. digits: decimals of a number (none: as it is). spread: column whose value is
    shown behind +-. best: whether the largest shown value of a group is bold and the second underlined; lowest: the smallest instead.
    measured: a row is of the measure in the frame's `measure`, and has as many decimals more as its scores have. sign: show + before
    gains. text: long text (wraps; a paragraph column in LaTeX). context: says what a row is about and measures nothing: said in the
    caption instead where it is the same in all rows. decides: what a reader came for; shown at every width.
    """

    key: str
    header: str
    digits: int | None = None
    spread: str | None = None
    best: bool = False
    lowest: bool = False
    measured: bool = False
    sign: bool = False
    text: bool = False
    context: bool = False
    decides: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the report.

    caption: words about it. frame: every number in full precision; written as CSV as it is. group: column by whose values the rows are
    grouped. competes: boolean column; only rows where it is true can be best. name, title: as in the catalogue.
    """

    caption: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    group: str | None = None
    competes: str | None = None
    name: str = ""
    title: str = ""


@dataclass(frozen=True)
class Cell:
    """Text of a cell, its spread (without +-), its value as shown where it is a number, its mark ("", "best" or "second") and whether it is
    words that decide."""

    text: str
    spread: str = ""
    mark: str = ""
    number: bool = False
    value: float | None = None
    decides: bool = False


MISSING = "–"


@dataclass
class Group:
    """Rows of cells under a common heading (empty when the table has no groups)."""

    heading: str
    rows: list[list[Cell]] = field(default_factory=list)


def cells(table: Table) -> list[Group]:
    """The table's cells, group by group in order of first appearance, best and second marked.

    Marks follow the shown digits: values that look equal are marked equally.
    """
    frame = table.frame
    headings = list(dict.fromkeys(frame[table.group])) if table.group else [""]
    groups = []
    for heading in headings:
        rows = frame[frame[table.group] == heading] if table.group else frame
        shown = [[_cell(row, column) for column in table.columns] for row in rows.to_dict("records")]
        competes = list(rows[table.competes]) if table.competes else [True] * len(rows)
        for place, column in enumerate(table.columns):
            if column.best:
                _mark(shown, place, competes, column.lowest)
        groups.append(Group(str(heading), shown))
    return groups


def _cell(row: dict[str, object], column: Column) -> Cell:
    value = row[column.key]
    if column.digits is None:
        return Cell("" if value is None or value != value else str(value), decides=column.decides)
    if pd.isna(value):
        return Cell(MISSING, number=True)
    digits = column.digits + (BY_NAME[row["measure"]].digits - ACCURACY.digits if column.measured else 0)
    text = f"{value:+,.{digits}f}" if column.sign else f"{value:,.{digits}f}"
    text = text.replace("-", "−")
    if digits and not column.sign and 0 < value < 0.5 * 10**-digits:
        text = f"< {10**-digits:.{digits}f}"
    spread = row.get(column.spread) if column.spread else None
    return Cell(text, "" if spread is None or pd.isna(spread) else f"{spread:.{digits}f}", number=True, value=round(float(value), digits))


def _mark(rows: list[list[Cell]], place: int, competes: list[bool], lowest: bool) -> None:
    values = {number: row[place].value for number, row in enumerate(rows) if competes[number] and row[place].value is not None}
    if len(values) < 2:
        return
    levels = sorted(set(values.values()), reverse=not lowest)[:2]
    for number, value in values.items():
        if value in levels:
            mark = ("best", "second")[levels.index(value)]
            cell = rows[number][place]
            rows[number][place] = replace(cell, mark=mark)


def lean(table: Table) -> Table:
    """The table without the columns that tell no rows apart: those without any value, and those of context that are the same in all rows,
    which the caption says instead. The frame keeps them."""
    shown = [cell for group in cells(table) for cell in group.rows]
    if len(shown) < 2:
        return table
    kept, said = [], []
    for place, column in enumerate(table.columns):
        texts = {row[place].text for row in shown}
        if column.context and len(texts) == 1 and "" not in texts:
            said.append(f"{column.header} {texts.pop()}")
        elif place == 0 or not texts <= {MISSING, ""}:
            kept.append(column)
    caption = f"{table.caption} In all rows: {', '.join(said)}." if said else table.caption
    return replace(table, columns=tuple(kept), caption=caption)
