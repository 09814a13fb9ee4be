"""The page: one HTML file that opens from disk without network, with DataTables (from itables) for its tables inlined."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.files import write_text
from equipoise.reporting.catalogue import sections
from equipoise.reporting.decision import MEANINGS, decision
from equipoise.reporting.escaping import html_text, script_json, shown
from equipoise.reporting.facts import disk, made, times, versions
from equipoise.reporting.figure import Figure
from equipoise.reporting.labels import arm_label, budget_text
from equipoise.reporting.material import Material
from equipoise.reporting.page_table import baselines, page_table
from equipoise.reporting.result import Result
from equipoise.reporting.rule_graph import rule_graph
from equipoise.reporting.selected_examples import selected_examples
from equipoise.reporting.side_by_side import unmatched_note
from equipoise.reporting.standing import Standing
from equipoise.reporting.style import AXIS, BAND, GRID, INK, MUTED, NEUTRAL, PAPER, POOL
from equipoise.reporting.summary import failures, summary
from equipoise.reporting.table import Table
from equipoise.reporting.take_away import offered, packed
from equipoise.reporting.terms import used_terms
from equipoise.selectors import SELECTORS, selector
from equipoise.shipped import WORKFLOW

TEMPLATES = WORKFLOW / "report" / "page"
NARROW = "\u202f"  # a space that never breaks, between a number and its percent sign


@dataclass(frozen=True)
class Partial:
    """What a page of finished runs alone says of the others. missing: titles of the results that wait, by what they wait for."""

    standing: Standing
    missing: Mapping[str, Sequence[str]]


def write_page(
    material: Material,
    path: Path,
    frames: dict[str, pd.DataFrame],
    svgs: dict[str, str],
    made: Sequence[Result],
    partial: Partial | None = None,
) -> Path:
    """Renders the page atomically to `path`. frames: the numbers of results by name. svgs: SVG text of every figure by name. made: the
    results on it. partial: of a page that is made before all runs are finished."""
    import jinja2

    config, examples = material.config, _examples(material)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, finalize=_finalized
    )
    environment.filters["percent"] = lambda text: text.replace(" %", NARROW + "%")
    first, *others = filled = _sections(material, svgs, made, path.parent)
    offers = [place for section in filled for kind in ("tables", "figures") for entry in section[kind] for _, place in entry["files"]]
    text = environment.get_template("page.html.jinja").render(
        config=config,
        decision=_undecided(config, frames, partial.standing) if partial else decision(config, frames),
        partial=_waiting(partial) if partial else None,
        failures=_failures(material),
        sentences=[] if partial else summary(config, frames),
        first=first,
        meanings=MEANINGS,
        sections=others,
        examples=examples,
        examples_json=script_json(examples) if examples else "",
        colors=[(known.name, known.color) for known in SELECTORS],
        facts=_facts(material, partial.standing.whole if partial else config),
        files_json=script_json(packed(path.parent, offers)),
        style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "page.js").read_text(encoding="utf-8"),
        picks_script=(TEMPLATES / "picks.js").read_text(encoding="utf-8"),
        **_datatables(),
    )
    write_text(path, text)
    return path


def _examples(material: Material) -> dict[str, object] | None:
    """What the pick explorer shows; of a partial report, as far as there are selections."""
    if material.runs is None:
        return selected_examples(material)
    try:
        found = selected_examples(material)
    except UserError:
        return None
    return found if found["picks"] else None


def _failures(material: Material) -> list[str]:
    """Sentences on the runs that failed; of a partial report, why there are no scores at all."""
    try:
        return failures(material.bootstrap.evaluation.failed)
    except UserError as error:
        if material.runs is None:
            raise
        return [f"{error}".capitalize() + "."]


def _undecided(config: Experiment, frames: dict[str, pd.DataFrame], standing: Standing) -> dict[str, object]:
    """The first screen of a partial report: averages of the finished runs, and no verdict in any of them."""
    nothing = {"tables": [], "measures": [], "anchors": [], "legend": [], "rule": "", "budgets": []}
    shown = decision(config, frames) if "statistics_macro" in frames else nothing
    few = {(each.selector, budget_text(each.budget)): f"{each.finished} of {each.runs} runs" for each in standing.unfinished}
    for row in (row for table in shown["tables"] for row in table["rows"]):
        for place, cell in enumerate(row["cells"]):
            cell["text"] = few.get((row["name"], shown["budgets"][place // len(shown["measures"])]), "")
    return shown | {"sentence": standing.sentence}


def _waiting(partial: Partial) -> dict[str, object]:
    """What a partial report has to say of what is missing: what is waited for, and the runs or results that wait for it."""
    runs: dict[str, dict[str, list[str]]] = {}
    for each in partial.standing.unfinished:
        label = arm_label(each.selector, each.epochs, partial.standing.whole.finetune.epochs)
        budget = budget_text(each.budget) if selector(each.selector).swept else ""
        runs.setdefault(each.waits_for, {}).setdefault(label, []).append(f"{budget} ({each.finished} of {each.runs})".strip())
    told = [(reason, [f"{label} {', '.join(counts)}" for label, counts in found.items()]) for reason, found in runs.items()]
    return {"runs": told, "results": list(partial.missing.items())}


def _there(folder: Path, kind: str, name: str) -> list[tuple[str, str]]:
    """The files of a result that a reader is offered and that are written."""
    return [(text, place) for text, place in offered(kind, name) if (folder / place).is_file()]


def _sections(material: Material, svgs: dict[str, str], wanted: Sequence[Result], folder: Path) -> list[dict[str, object]]:
    """The sections that this experiment has, in the catalogue's order: id, heading, tables, figures, note."""
    filled = []
    for section in sections():
        made = [material.make(result.name) for result in wanted if result.section == section]
        tables = [
            {"table": table, "html": page_table(table), "against": baselines(table), "files": _there(folder, "table", table.name)}
            for table in made
            if isinstance(table, Table)
        ]
        figures = [
            {"figure": figure, "svg": themed_svg(svgs[figure.name], figure), "files": _there(folder, "figure", figure.name)}
            for figure in made
            if isinstance(figure, Figure)
        ]
        note = unmatched_note(material.config) if section.id == "paper" and material.runs is None else ""
        if made or note or section.id == "summary":
            words = " ".join(f"{each.title} {each.caption} {' '.join(c.header for c in getattr(each, 'columns', ()))}" for each in made)
            filled.append({"id": section.id, "heading": section.heading, "tables": tables, "figures": figures, "note": note})
            filled[-1]["terms"] = used_terms(words)
    return filled


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


def _facts(material: Material, config: Experiment) -> dict[str, object]:
    import yaml

    measured = times(config, material.benchmarks)
    sizes = disk(config)
    sandboxes = _sandboxes(material)
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
        "made": made(config, material.runs is not None) | ({"programs ran in": ", ".join(sandboxes)} if sandboxes else {}),
        "rules": rule_graph(config, {rule for rule in measured["rule"]}),
    }


def _sandboxes(material: Material) -> list[str]:
    """Where programs of the evaluation ran; none in a partial report without scores."""
    try:
        return sorted({each for bootstrap in material.bootstraps for each in bootstrap.evaluation.sandboxes})
    except UserError:
        if material.runs is None:
            raise
        return []


def _finalized(value: object) -> object:
    """What the template inserts: plain texts as they may be shown; what is safe already as it is."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else shown(value)


def _datatables() -> dict[str, str]:
    """DataTables' module, as base64, and style sheet as shipped by itables, ready for inlining."""
    import itables

    folder = Path(itables.__file__).parent / "html"
    module = base64.b64encode((folder / "dt_bundle.js").read_bytes()).decode("ascii")
    return {"datatables_module": module, "datatables_style": (folder / "dt_bundle.css").read_text(encoding="utf-8")}
