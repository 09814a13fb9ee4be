"""The graph of an experiment's rules as a picture of the page: what each rule is made from, by the artefacts that its jobs read."""

from collections.abc import Collection, Iterator
from itertools import islice

from equipoise.config import Experiment
from equipoise.jobs import Item, stages
from equipoise.reporting.escaping import html_text
from equipoise.store.kinds import KINDS

LOOKED_AT = 200  # jobs of a rule: all of them read the same kinds, but for a few by selector or matrix
BOX, GAP, STEP = (190, 26), 16, 54
WAITS = {
    "prepare_pool": ("generate_miniature", "fetch"),
    "prepare_targets": ("generate_miniature", "fetch"),
    "check_base": ("fetch",),
    "warm_up": ("check_base",),
    "report": ("decontaminate", "seal_attribution", "select_budget", "evaluate", "fine_tune_and_evaluate"),
}
"""Rules that wait for others without an artefact of theirs in what they are made from."""


def rule_edges(config: Experiment) -> dict[str, list[str]]:
    """Rule -> the rules whose results it reads, in the pipeline's order, without those that another of them reads already."""
    found: dict[str, list[str]] = {}
    for stage in stages(config):
        items = islice((item for job in stage.jobs for item in job), LOOKED_AT)
        named = {above for item in items for above in _above(config, item)}
        named |= set(WAITS.get(stage.name, ()))
        found[stage.name] = sorted(named & set(found), key=list(found).index)
    return {name: [rule for rule in above if not any(_reads(found, other, rule) for other in above)] for name, above in found.items()}


def _above(config: Experiment, item: Item) -> Iterator[str]:
    """Rules that make what a job reads."""
    for path in item.outputs:
        for kind in KINDS.values():
            match = kind.pattern.search(path)
            if match:
                of = {name: match[name] for name in kind.names}
                yield from (KINDS[name].stage for name, _ in kind.inputs(config, of))
                yield from ("assemble_attribution",) if kind.rows else ()


def _reads(found: dict[str, list[str]], rule: str, other: str) -> bool:
    """Whether a rule reads another's results, directly or through others."""
    return any(above == other or _reads(found, above, other) for above in found[rule])


def rule_graph(config: Experiment, measured: Collection[str]) -> str:
    """An SVG in the page's colours: a row for every distance from the start, a link from every measured rule to its times."""
    edges = rule_edges(config)
    depth: dict[str, int] = {}
    for rule, above in edges.items():
        depth[rule] = max((depth[each] + 1 for each in above), default=0)
    lines = [[rule for rule in edges if depth[rule] == level] for level in range(max(depth.values()) + 1)]
    width = max(map(len, lines)) * (BOX[0] + GAP) + GAP
    places = {
        rule: (width / 2 + (number - (len(line) - 1) / 2) * (BOX[0] + GAP), GAP + BOX[1] / 2 + level * STEP)
        for level, line in enumerate(lines)
        for number, rule in enumerate(line)
    }
    height = GAP * 2 + BOX[1] + (len(lines) - 1) * STEP
    parts = []
    for rule, above in edges.items():
        (x, y), half = places[rule], BOX[1] / 2
        for each in above:
            left, top = places[each]
            middle = (top + y) / 2
            parts.append(f'<path d="M{left:g} {top + half:g}C{left:g} {middle:g} {x:g} {middle:g} {x:g} {y - half:g}"/>')
    for rule, (x, y) in places.items():
        box = f'<rect x="{x - BOX[0] / 2:g}" y="{y - BOX[1] / 2:g}" width="{BOX[0]}" height="{BOX[1]}" rx="5"/>'
        drawn = f'{box}<text x="{x:g}" y="{y + 4.5:g}">{html_text(rule)}</text>'
        parts.append(f'<a href="#rule-{html_text(rule)}">{drawn}</a>' if rule in measured else drawn)
    said = "; ".join(f"{rule} from {', '.join(above)}" for rule, above in edges.items() if above)
    label = html_text(f"Rules of the workflow: {said}.")
    return f'<svg class="rules" role="group" aria-label="{label}" viewBox="0 0 {width:g} {height:g}">{"".join(parts)}</svg>'
