"""The page: one HTML file that opens from disk without network, with DataTables (from itables) for its tables inlined."""

import re
from pathlib import Path

import pandas as pd

from equipoise.files import write_text
from equipoise.reporting.catalogue import results, sections
from equipoise.reporting.decision import MEANINGS, decision
from equipoise.reporting.escaping import html_text, script_json, shown
from equipoise.reporting.facts import disk, made, times, versions
from equipoise.reporting.figure import Figure
from equipoise.reporting.material import Material
from equipoise.reporting.render import html_cell
from equipoise.reporting.rule_graph import rule_graph
from equipoise.reporting.selected_examples import selected_examples
from equipoise.reporting.side_by_side import unmatched_note
from equipoise.reporting.style import AXIS, BAND, GRID, INK, MUTED, NEUTRAL, PAPER, POOL
from equipoise.reporting.summary import failures, summary
from equipoise.reporting.table import Table, cells
from equipoise.reporting.take_away import offered, packed
from equipoise.reporting.terms import used_terms
from equipoise.selectors import SELECTORS
from equipoise.shipped import WORKFLOW

TEMPLATES = WORKFLOW / "report" / "page"
NARROW = "\u202f"  # a space that never breaks, between a number and its percent sign


def write_page(material: Material, path: Path, frames: dict[str, pd.DataFrame], svgs: dict[str, str]) -> Path:
    """Renders the page atomically to `path`. frames: the numbers of all results by name. svgs: SVG text of every figure by name."""
    import jinja2

    config, examples = material.config, selected_examples(material)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, finalize=_finalized
    )
    environment.filters["percent"] = lambda text: text.replace(" %", NARROW + "%")
    first, *others = filled = _sections(material, svgs)
    offers = [place for section in filled for kind in ("tables", "figures") for entry in section[kind] for _, place in entry["files"]]
    text = environment.get_template("page.html.jinja").render(
        config=config,
        decision=decision(config, frames),
        failures=failures(material.bootstrap.evaluation.failed),
        sentences=summary(config, frames),
        first=first,
        meanings=MEANINGS,
        sections=others,
        examples=examples,
        examples_json=script_json(examples),
        colors=[(known.name, known.color) for known in SELECTORS],
        facts=_facts(material),
        files_json=script_json(packed(path.parent, offers)),
        style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "page.js").read_text(encoding="utf-8"),
        picks_script=(TEMPLATES / "picks.js").read_text(encoding="utf-8"),
        **_datatables(),
    )
    write_text(path, text)
    return path


def _sections(material: Material, svgs: dict[str, str]) -> list[dict[str, object]]:
    """The sections that this experiment has, in the catalogue's order: id, heading, tables, figures, note."""
    filled = []
    for section in sections():
        made = [material.make(result.name) for result in results(material.config) if result.section == section]
        tables = [
            {"table": table, "html": page_table(table), "files": offered("table", table.name)} for table in made if isinstance(table, Table)
        ]
        drawn = [figure for figure in made if isinstance(figure, Figure)]
        figures = [
            {"figure": figure, "svg": themed_svg(svgs[figure.name], figure), "files": offered("figure", figure.name)} for figure in drawn
        ]
        note = unmatched_note(material.config) if section.id == "paper" else ""
        if made or note:
            words = " ".join(f"{each.title} {each.caption} {' '.join(c.header for c in getattr(each, 'columns', ()))}" for each in made)
            filled.append({"id": section.id, "heading": section.heading, "tables": tables, "figures": figures, "note": note})
            filled[-1]["terms"] = used_terms(words)
    return filled


def page_table(table: Table) -> str:
    """A flat table for sorting: the group is a column of its own behind the first, numbers carry their sort value."""
    heads = [f'<th scope="col"{" class=number" if c.digits is not None else ""}>{html_text(c.header)}</th>' for c in table.columns]
    if table.group:
        heads.insert(1, f'<th scope="col">{html_text(_group_heading(table))}</th>')
    body = []
    for number, group in enumerate(cells(table)):
        for row in group.rows:
            filled = [f'<td class="text">{html_cell(c)[4:]}' if k.text else html_cell(c) for c, k in zip(row, table.columns, strict=True)]
            if table.group:
                filled.insert(1, f'<td data-order="{number}">{html_text(group.heading)}</td>')
            body.append(f"<tr>{''.join(filled)}</tr>")
    caption = f'<caption class="unseen">{html_text(table.title)}</caption>'
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
    shades |= {known.color: f"--selector-{known.name}" for known in SELECTORS}
    for shade, name in shades.items():
        svg = svg.replace(shade, f"var({name})")
    # the white card behind the figure is the page itself
    svg = re.sub(r"(id=\"[^\"]*patch_1\">\s*<path[^>]*?style=\")fill: #ffffff", r"\1fill: none", svg, count=1)
    label = html_text(f"{figure.title}. {figure.caption}")
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', svg, count=1)


def _facts(material: Material) -> dict[str, object]:
    import yaml

    config = material.config
    measured = times(config, material.benchmarks)
    sizes = disk(config)
    sandboxes = sorted({each for bootstrap in material.bootstraps for each in bootstrap.evaluation.sandboxes})
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
        "made": made(config) | ({"programs ran in": ", ".join(sandboxes)} if sandboxes else {}),
        "rules": rule_graph(config, {rule for rule in measured["rule"]}),
    }


def _finalized(value: object) -> object:
    """What the template inserts: plain texts as they may be shown; what is safe already as it is."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else shown(value)


def _datatables() -> dict[str, str]:
    """DataTables' module and style sheet as shipped by itables, ready for inlining."""
    import itables

    folder = Path(itables.__file__).parent / "html"
    module = (folder / "dt_bundle.js").read_text(encoding="utf-8")
    if "</script" in module:
        raise RuntimeError("itables' bundle holds </script and cannot be inlined as it is; pin itables to 2.9")
    return {"datatables_module": module, "datatables_style": (folder / "dt_bundle.css").read_text(encoding="utf-8")}
