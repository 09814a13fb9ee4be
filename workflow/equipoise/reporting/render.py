"""Writes a table as CSV (full precision), Markdown, LaTeX (booktabs) and HTML, all from its one frame."""

import json
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.files import write_text
from equipoise.reporting.escaping import csv_text, html_text, latex_text, markdown_text
from equipoise.reporting.table import Cell, Table, cells

if TYPE_CHECKING:
    from rich.table import Table as TerminalTable

LONG_TEXT = 12  # share of the line, in percent, below which a paragraph column of LaTeX is never cut


def write_table(table: Table, folder: str | Path) -> list[Path]:
    """Writes <folder>/<name>.{csv,md,tex,html} atomically; returns the paths."""
    texts = {"csv": to_csv(table), "md": to_markdown(table), "tex": to_latex(table), "html": to_html(table) + "\n"}
    paths = []
    for ending, text in texts.items():
        path = Path(folder) / f"{table.name}.{ending}"
        write_text(path, text)
        paths.append(path)
    return paths


def to_csv(table: Table) -> str:
    """The frame itself: every column, full precision, empty for missing."""
    return csv_text(table.frame)


def to_values(table: Table) -> list[dict[str, Any]]:
    """The frame's rows as plain values, full precision, None for what is missing."""
    return json.loads(table.frame.to_json(orient="records", double_precision=15))


def to_terminal(table: Table, width: int) -> "TerminalTable":
    """The table for a terminal of `width` columns: the first column and those that decide at every width (their texts wrap where they do
    not fit), of the others as many as fit, from the left; a line below every group."""
    from rich.table import Table as TerminalTable
    from rich.text import Text

    groups = cells(table)
    texts = [[_terminal_text(cell) for cell in row] for group in groups for row in group.rows]
    widths = [max(map(len, [column.header, *(row[place] for row in texts)])) + 3 for place, column in enumerate(table.columns)]
    shown = [not place or column.decides for place, column in enumerate(table.columns)]
    for place, own in enumerate(widths):
        if not shown[place]:
            if sum(compress(widths, shown)) + own + 1 > width:
                break
            shown[place] = True
    made = TerminalTable(title=Text(table.title), title_justify="left")
    tight = sum(compress(widths, shown)) + 1 > width
    for column in compress(table.columns, shown):
        words = column.digits is None
        made.add_column(Text(column.header), justify="left" if words else "right", no_wrap=not (tight and words), overflow="fold")
    for group in groups:
        if group.heading:
            made.add_row(Text(group.heading, style="bold"))
        for row in group.rows:
            styles = {"best": "bold green", "second": "underline"}
            made.add_row(*(Text(_terminal_text(cell), style=styles.get(cell.mark, "")) for cell in compress(row, shown)))
        made.add_section()
    left = [column.header for column, there in zip(table.columns, shown, strict=True) if not there]
    if left:
        made.caption = Text(f"Columns left out at this width: {', '.join(left)} (--json has all)")
    return made


def _terminal_text(cell: Cell) -> str:
    return f"{cell.text} ± {cell.spread}" if cell.spread else cell.text


def to_markdown(table: Table) -> str:
    """A GitHub-flavoured table under its title: best bold, second underlined."""
    lines = [f"**{markdown_text(table.title)}.**", "", markdown_text(table.caption), ""]
    lines.append("| " + " | ".join(markdown_text(column.header) for column in table.columns) + " |")
    lines.append("|" + "|".join("---" if column.digits is None else "---:" for column in table.columns) + "|")
    for group in cells(table):
        if group.heading:
            lines.append(f"| **{markdown_text(group.heading)}** |" + " |" * (len(table.columns) - 1))
        lines += ["| " + " | ".join(map(_markdown_cell, row)) + " |" for row in group.rows]
    return "\n".join(lines) + "\n"


def to_latex(table: Table) -> str:
    """A booktabs table, shrunk to the line where it is wider; one with long texts is a longtable with paragraph columns.

    The first line names the packages the preamble needs.
    """
    texts = sum(column.text for column in table.columns)
    width = max(LONG_TEXT, (74 - 8 * (len(table.columns) - texts)) // max(texts, 1)) / 100
    kinds = "".join(f"p{{{width:.2f}\\linewidth}}" if c.text else "l" if c.digits is None else "r" for c in table.columns)
    body = []
    for number, group in enumerate(cells(table)):
        if group.heading:
            rule = [r"\midrule"] if number else []
            body += [
                *rule,
                rf"\multicolumn{{{len(table.columns)}}}{{l}}{{\textbf{{{latex_text(group.heading)}}}}} \\",
                r"\addlinespace[2pt]",
            ]
        body += [" & ".join(map(_latex_cell, row)) + r" \\" for row in group.rows]
    caption = f"\\textbf{{{latex_text(table.title)}.}} {latex_text(table.caption)}"
    caption = rf"\caption{{{caption}}}\label{{tab:{table.name.replace('_', '-')}}}"
    head = [r"\toprule", " & ".join(latex_text(column.header) for column in table.columns) + r" \\", r"\midrule"]
    if texts:
        start = [r"% needs \usepackage{booktabs,longtable}", r"{\scriptsize\setlength{\tabcolsep}{3pt}", rf"\begin{{longtable}}{{{kinds}}}"]
        return "\n".join([*start, caption + r" \\", *head, r"\endhead", *body, r"\bottomrule", r"\end{longtable}}"]) + "\n"
    start = [
        r"% needs \usepackage{booktabs,graphicx}",
        r"\begin{table}[t]",
        r"\centering\footnotesize",
        r"\setlength{\tabcolsep}{3.5pt}",
        caption,
    ]
    start += [r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%", rf"\begin{{tabular}}{{{kinds}}}"]
    return "\n".join([*start, *head, *body, r"\bottomrule", r"\end{tabular}}", r"\end{table}"]) + "\n"


def to_html(table: Table) -> str:
    """A plain <table class="grouped"> with caption; groups are row groups with a heading, numbers carry data-order for sorting."""
    head = "".join(f'<th scope="col"{_kind(column.digits is not None)}>{html_text(column.header)}</th>' for column in table.columns)
    parts = [
        f'<table class="report" id="{table.name}">',
        f"<caption>{html_text(table.title)}</caption>",
        f"<thead><tr>{head}</tr></thead>",
    ]
    for group in cells(table):
        parts.append("<tbody>")
        if group.heading:
            parts.append(f'<tr class="group"><th scope="rowgroup" colspan="{len(table.columns)}">{html_text(group.heading)}</th></tr>')
        parts += ["<tr>" + "".join(map(html_cell, row)) + "</tr>" for row in group.rows]
        parts.append("</tbody>")
    return "\n".join([*parts, "</table>"])


def html_cell(cell: Cell) -> str:
    """One <td>: best in <strong>, second in <u>, the spread small."""
    text = html_text(cell.text)
    text = {"best": f"<strong>{text}</strong>", "second": f"<u>{text}</u>"}.get(cell.mark, text)
    spread = f'<span class="sd"> ±{cell.spread}</span>' if cell.spread else ""
    order = f' data-order="{"" if cell.value is None else f"{cell.value:.12g}"}"' if cell.number else ""
    kind = ' class="decides"' if cell.decides else _kind(cell.number)
    return f"<td{kind}{order}>{text}{spread}</td>"


def _kind(number: bool) -> str:
    return ' class="number"' if number else ""


def _markdown_cell(cell: Cell) -> str:
    text = markdown_text(cell.text)
    text = {"best": f"**{text}**", "second": f"<u>{text}</u>"}.get(cell.mark, text)
    return f"{text} ± {cell.spread}" if cell.spread else text


def _latex_cell(cell: Cell) -> str:
    text = latex_text(cell.text)
    text = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}"}.get(cell.mark, text)
    return rf"{text}{{\tiny\,$\pm${cell.spread}}}" if cell.spread else text
