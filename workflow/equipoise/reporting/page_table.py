"""A table as the page shows it: flat, for sorting; on a phone, what a row is about stands under its first cell."""

from equipoise.reporting.escaping import html_text
from equipoise.reporting.render import html_cell
from equipoise.reporting.table import Column, Table, cells

AGAINST = "against"  # key of the column that says what a selector is set against


def page_table(table: Table) -> str:
    """The group is a column of its own behind the first and those that decide; numbers carry their sort value.

    Where columns decide, those of context are marked as `context`: a phone shows `data-of` of the first cell in their place. A row that is
    one of several of a selector names its baseline.
    """
    behind = max([1, *(place + 1 for place, column in enumerate(table.columns) if column.decides)])
    told = [place for place, column in enumerate(table.columns) if column.context and behind > 1]
    against = _place(table, AGAINST) if baselines(table) else None
    heads = [_head(column.header, column.digits is not None, place in told) for place, column in enumerate(table.columns)]
    if table.group:
        heads.insert(behind, _head(_group_heading(table), number=False, context=behind > 1))
    body = []
    for number, group in enumerate(cells(table)):
        for row in group.rows:
            filled = [_marked(html_cell(c), "text" if k.text else "") for c, k in zip(row, table.columns, strict=True)]
            for place in told:
                filled[place] = _marked(filled[place], "context")
            if behind > 1:
                of = [group.heading, *(_said(table.columns[place], row[place].text) for place in told if place != against)]
                filled[0] = filled[0].replace("<td", f'<td data-of="{html_text(", ".join(filter(None, of)))}"', 1)
            if table.group:
                cell = f'<td data-order="{number}">{html_text(group.heading)}</td>'
                filled.insert(behind, _marked(cell, "context" if behind > 1 else ""))
            baseline = "" if against is None else f' data-baseline="{html_text(row[against].text)}"'
            body.append(f"<tr{baseline}>{''.join(filled)}</tr>")
    caption = f'<caption class="unseen">{html_text(table.title)}</caption>'
    return (
        f'<table class="report" id="{table.name}">{caption}<thead><tr>{"".join(heads)}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    )


def baselines(table: Table) -> list[str]:
    """What several selectors are each set against, where that is more than one: a phone shows the rows of one at a time."""
    place = _place(table, AGAINST)
    if place is None or table.frame["selector"].nunique() < 2:
        return []
    names = list(dict.fromkeys(row[place].text for group in cells(table) for row in group.rows))
    return names if len(names) > 1 else []


def _place(table: Table, key: str) -> int | None:
    return next((place for place, column in enumerate(table.columns) if column.key == key), None)


def _said(column: Column, text: str) -> str:
    return text if column.key == "measure" else f"{column.header.lower()} {text}"


def _head(text: str, number: bool, context: bool) -> str:
    kinds = " ".join(kind for kind, there in (("number", number), ("context", context)) if there)
    return f'<th scope="col" class="{kinds}">{html_text(text)}</th>'


def _marked(cell: str, kind: str) -> str:
    """A <td> with one class more."""
    if not kind:
        return cell
    if cell.startswith('<td class="'):
        return cell.replace('class="', f'class="{kind} ', 1)
    return cell.replace("<td", f'<td class="{kind}"', 1)


def _group_heading(table: Table) -> str:
    if table.group == "capability":
        return "Capability"
    return "Model and budget" if "model" in table.frame and table.frame["model"].nunique() > 1 else "Budget"
