"""The miniature's pool: 3,000 rows of unequal quality and unequal share, a function of (profile, seed) alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from equipoise.miniature.chatter import small_talk, verbose
from equipoise.miniature.skills import ALL_SKILLS, Core, Skill, Slots

ROWS = 3000
OFF_TASK = "off-task"
SHARES: Mapping[str, int] = {"trace": 25, "code": 10, "gsm": 28, "math": 12, "logic": 7, "know": 4, "form": 4, OFF_TASK: 10}
"""Percent of the pool's rows by source."""
CONFLICT: Mapping[str, int] = {
    **{"trace": 23, "code": 10, "gsm": 27, "math": 11, "logic": 7, "know": 4, "form": 1, "contrary": 7},
    OFF_TASK: 10,
}
"""The same where tasks conflict: contrary asks what logic asks and wants the opposite; form has 1 % of the rows."""

DIFFICULTIES = ("easy", "medium", "hard")
LEVEL_WEIGHTS = (60, 30, 10)


@dataclass(frozen=True)
class Profile:
    """How noisy a pool is: percent of the task rows with a wrong or a verbose answer, percent of all rows that nearly repeat another.

    shares: percent of the rows by source.
    """

    wrong: int
    verbose: int
    duplicates: int
    shares: Mapping[str, int] = field(default_factory=lambda: SHARES)

    @property
    def skills(self) -> dict[str, Skill]:
        """The tasks of the pool."""
        return {name: ALL_SKILLS[name] for name in self.shares if name != OFF_TASK}


PROFILES = {"noisy": Profile(15, 25, 15), "clean": Profile(0, 0, 0), "conflicting": Profile(15, 25, 15, CONFLICT)}


@dataclass(frozen=True)
class _Draft:
    source: str
    prompt: str
    response: str
    kind: str
    core: str | None = None
    difficulty: str | None = None
    original: int | None = None
    """Number of the draft that this one nearly repeats."""


def pool_rows(profile: str, seed: int) -> list[dict]:
    """The pool as rows of {id, source, prompt, response, kind, difficulty, core, duplicate_of, oracle_rank}.

    source: the task, or `off-task`. kind: `right`, `wrong`, `verbose` or `off_task`. core: what the item is about, null off task.
    duplicate_of: id of the row that this one repeats in other words, or null. oracle_rank: place in an order of the right rows that
    repeat none, every prefix of which holds the tasks in numbers as equal as the rows allow; null for the other rows.
    """
    rng = Random(f"pool:{profile}:{seed}")
    drafts: list[_Draft] = []
    for source, share in PROFILES[profile].shares.items():
        drafts += _source_drafts(source, ROWS * share // 100, PROFILES[profile], rng, len(drafts))
    order = list(range(len(drafts)))
    rng.shuffle(order)
    ids = {number: f"{profile}-{seed}-{place:04d}" for place, number in enumerate(order)}
    rows = [
        {
            "id": ids[number],
            "source": drafts[number].source,
            "prompt": drafts[number].prompt,
            "response": drafts[number].response,
            "kind": drafts[number].kind,
            "difficulty": drafts[number].difficulty,
            "core": drafts[number].core,
            "duplicate_of": ids.get(drafts[number].original),
        }
        for number in order
    ]
    ranks = oracle_ranks(rows)
    return [{**row, "oracle_rank": ranks.get(row["id"])} for row in rows]


def oracle_ranks(rows: list[dict]) -> dict[str, int]:
    """Ranks by id of the right rows that repeat none: the tasks in turn, in row order within a task, until each has run out."""
    clean = [row for row in rows if row["kind"] == "right" and not row["duplicate_of"]]
    by_task = {name: [row["id"] for row in clean if row["source"] == name] for name in ALL_SKILLS}
    turns = max(len(ids) for ids in by_task.values())
    order = [ids[turn] for turn in range(turns) for ids in by_task.values() if turn < len(ids)]
    return {row: rank for rank, row in enumerate(order)}


def _source_drafts(source: str, count: int, profile: Profile, rng: Random, offset: int) -> list[_Draft]:
    repeats = count * profile.duplicates // 100
    fresh = _off_task(count - repeats, rng) if source == OFF_TASK else _task_items(ALL_SKILLS[source], count - repeats, profile, rng)
    again = rng.sample(range(len(fresh)), repeats)
    return [draft for draft, _ in fresh] + [_repeated(*fresh[i], offset + i, rng) for i in again]


def _off_task(count: int, rng: Random) -> list[tuple[_Draft, None]]:
    talk: dict[str, str] = {}
    while len(talk) < count:
        prompt, response = small_talk(rng)
        talk.setdefault(prompt, response)
    return [(_Draft(OFF_TASK, prompt, response, "off_task"), None) for prompt, response in talk.items()]


def _task_items(skill: Skill, count: int, profile: Profile, rng: Random) -> list[tuple[_Draft, tuple[Skill, Slots, str]]]:
    kinds = ["wrong"] * (count * profile.wrong // 100) + ["verbose"] * (count * profile.verbose // 100)
    kinds += ["right"] * (count - len(kinds))
    rng.shuffle(kinds)
    items, taken = [], set()
    for kind in kinds:
        level, core = _unused(skill, taken, rng)
        slots, template = skill.slots(core, rng), rng.choice(skill.templates)
        response = _response(skill, core, kind, rng)
        draft = _Draft(skill.name, template.format(**slots), response, kind, skill.key(core), DIFFICULTIES[level])
        items.append((draft, (skill, slots, template)))
    return items


def _unused(skill: Skill, taken: set[Core], rng: Random) -> tuple[int, Core]:
    while True:
        level = rng.choices(range(len(DIFFICULTIES)), LEVEL_WEIGHTS)[0]
        core = skill.draw_from("pool", rng, level)
        if core not in taken:
            taken.add(core)
            return level, core


def _response(skill: Skill, core: Core, kind: str, rng: Random) -> str:
    if kind == "wrong":
        return skill.wrong(core, rng)
    return verbose(skill.answer(core), rng) if kind == "verbose" else skill.answer(core)


def _repeated(draft: _Draft, wording: tuple[Skill, Slots, str] | None, number: int, rng: Random) -> _Draft:
    if wording is None:
        prompt = f"please , {draft.prompt}"
    else:
        skill, slots, template = wording
        prompt = rng.choice([other for other in skill.templates if other != template]).format(**slots)
    return _Draft(draft.source, prompt, draft.response, draft.kind, draft.core, draft.difficulty, number)
