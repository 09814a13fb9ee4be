"""The page: one HTML file that opens from disk without network, with DataTables (from itables) for its tables inlined."""

import base64
import html
import json
import re
from pathlib import Path

from equipoise.config import Experiment
from equipoise.files import atomic_path
from equipoise.reporting.facts import disk, times, versions
from equipoise.reporting.figure import Figure
from equipoise.reporting.render import html_cell
from equipoise.reporting.side_by_side import unmatched_note
from equipoise.reporting.style import AXIS, BAND, GRID, INK, LOOKS, MUTED, NEUTRAL, PAPER, POOL
from equipoise.reporting.tables import Table, cells

TEMPLATES = Path(__file__).parents[2] / "report" / "page"
NARROW = "\u202f"  # a space that never breaks, between a number and its percent sign
NUMBERS_INLINED = 300_000  # bytes of a figure's CSV offered for download from within the page

# sections of the page in order: id, heading, tables, figures
SECTIONS = (
    ("scores", "Scores", ("table_2_selectors", "table_1_less_and_random", "table_3_ablation", "table_4_model"), ("score_by_budget",)),
    (
        "statistics",
        "What the numbers support",
        ("statistics_comparisons", "statistics_bids", "statistics_macro", "statistics_ranks", "statistics_balance"),
        ("differences", "ranks"),
    ),
    ("paper", "Beside the paper", ("published", "published_thi"), ()),
    (
        "influence",
        "Influence",
        (),
        ("figure_1_aid_pool", "figure_2_thi_less", "figure_3_thi_ablation", "figure_4_aid_ablation", "figure_5_normality"),
    ),
    (
        "selections",
        "Selections",
        ("table_contamination", "table_audit"),
        ("steps_served", "influence_along_ranking", "sources", "overlap", "pool_map"),
    ),
    ("answers", "Answers", ("tables_5_to_7_answers",), ()),
    ("cost", "Cost", ("table_cost",), ()),
)


def write_page(
    config: Experiment,
    path: Path,
    sentences: list[str],
    tables: list[Table],
    figures: list[tuple[Figure, str]],
    examples: dict[str, object],
) -> Path:
    """Renders the page atomically to `path`; `figures` come with their SVG, `examples` as from `selected_examples`."""
    import jinja2

    by_name = {table.name: {"table": table, "html": page_table(table)} for table in tables}
    drawn = {figure.name: {"figure": figure, "svg": themed_svg(svg, figure), "csv": _inlined_csv(figure)} for figure, svg in figures}
    sections = []
    for identifier, heading, table_names, figure_names in SECTIONS:
        shown = [by_name[name] for name in table_names if name in by_name]
        pictures = [drawn[name] for name in figure_names if name in drawn]
        note = unmatched_note(config) if identifier == "paper" else ""
        if shown or pictures or note:
            sections.append({"id": identifier, "heading": heading, "tables": shown, "figures": pictures, "note": note})
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined)
    text = environment.get_template("page.html.jinja").render(
        config=config,
        sentences=[sentence.replace(" %", NARROW + "%") for sentence in sentences],
        sections=sections,
        examples=examples,
        examples_json=_script_json(examples),
        colors=[(name, look[0]) for name, look in LOOKS.items()],
        facts=_facts(config),
        style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "page.js").read_text(encoding="utf-8"),
        **_datatables(),
    )
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def page_table(table: Table) -> str:
    """A flat table for sorting: the group is a column of its own, numbers carry their sort value."""
    heads = [f'<th scope="col"{" class=number" if c.digits is not None else ""}>{html.escape(c.header)}</th>' for c in table.columns]
    if table.group:
        heads.insert(0, f'<th scope="col">{html.escape(_group_heading(table))}</th>')
    body = []
    for number, group in enumerate(cells(table)):
        for row in group.rows:
            lead = f'<td data-order="{number}">{html.escape(group.heading)}</td>' if table.group else ""
            filled = "".join(
                f'<td class="text">{html_cell(c)[4:]}' if k.text else html_cell(c) for c, k in zip(row, table.columns, strict=True)
            )
            body.append(f"<tr>{lead}{filled}</tr>")
    caption = f'<caption class="unseen">{html.escape(table.title)}</caption>'
    return (
        f'<table class="report" id="{table.name}">{caption}<thead><tr>{"".join(heads)}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    )


def _group_heading(table: Table) -> str:
    if table.group == "capability":
        return "Capability"
    return "Model and budget" if "model" in table.frame and table.frame["model"].nunique() > 1 else "Budget"


def themed_svg(svg: str, figure: Figure) -> str:
    """An SVG for inlining: own ids, text in the page's font, colours as custom properties, a title for screen readers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\bid=\"([^\"]+)\"", rf'id="{figure.name}-\1"', svg)
    svg = re.sub(r"(href=\"#|url\(#)", rf"\g<1>{figure.name}-", svg)
    svg = svg.replace("'DejaVu Sans'", "inherit").replace("font-family: DejaVu Sans", "font-family: inherit")
    svg = re.sub(r"font: ([^;\"]*?)inherit", r"font: \1var(--font)", svg)
    shades = {INK: "--ink", MUTED: "--muted", AXIS: "--axis", GRID: "--grid", POOL: "--pool", BAND: "--band", PAPER: "--paper"}
    shades[NEUTRAL] = "--neutral"
    shades |= {look[0]: f"--selector-{name}" for name, look in LOOKS.items()}
    for shade, name in shades.items():
        svg = svg.replace(shade, f"var({name})")
    # the white card behind the figure is the page itself
    svg = re.sub(r"(id=\"[^\"]*patch_1\">\s*<path[^>]*?style=\")fill: #ffffff", r"\1fill: none", svg, count=1)
    label = html.escape(f"{figure.title}. {figure.caption}", quote=True)
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', svg, count=1)


def _inlined_csv(figure: Figure) -> str:
    """The plotted numbers as a data URI, empty when they are too large for the page."""
    data = figure.frame.to_csv(index=False, lineterminator="\n", float_format="%.6g").encode()
    return f"data:text/csv;base64,{base64.b64encode(data).decode()}" if len(data) <= NUMBERS_INLINED else ""


def _facts(config: Experiment) -> dict[str, object]:
    layout = config.layout
    import yaml

    measured = times(config)
    sizes = disk(config)
    return {
        "config": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110),
        "seeds": {
            "experiment": config.seed,
            "selection (random)": ", ".join(map(str, config.selection.seeds)),
            "fine-tuning": ", ".join(map(str, config.finetune.seeds)),
            "generation": "; ".join(f"{name}: {', '.join(map(str, suite.seeds))}" for name, suite in config.suites.items()),
        },
        "versions": versions(),
        "times": measured.to_dict("records"),
        "total_seconds": float(measured["seconds"].sum()),
        "disk": sizes,
        "total_bytes": sum(sizes.values()),
        "root": layout.root,
    }


def _script_json(value: object) -> str:
    """JSON that is safe inside a <script> element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("</", "<\\/").replace("<!--", "<\\!--")


def _datatables() -> dict[str, str]:
    """DataTables' module and style sheet as shipped by itables, ready for inlining."""
    import itables

    folder = Path(itables.__file__).parent / "html"
    module = (folder / "dt_bundle.js").read_text(encoding="utf-8")
    if "</script" in module:
        raise RuntimeError("itables' bundle holds </script and cannot be inlined as it is; pin itables to 2.9")
    return {"datatables_module": module, "datatables_style": (folder / "dt_bundle.css").read_text(encoding="utf-8")}
