"""The pretraining stream: what the base model reads. A function of (seed, document number) alone.

It holds skill items of the pretraining part only, never the benchmark templates, and right answers in chat form only at low
probability, so that tuning has something to bring out (see README.md, decisions).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

from equipoise.miniature.chatter import small_talk, verbose
from equipoise.miniature.skills import SKILLS, Core, Skill, skeleton
from equipoise.miniature.skills.know import FACTS_BY_LEVEL, KNOW, STATED
from equipoise.miniature.skills.trace import LETTERS

USER, ASSISTANT, END, NEWLINE, PAD, UNKNOWN = "<|user|>", "<|assistant|>", "</s>", "\n", "<pad>", "<unk>"

KINDS = {"talk": 8, "chat": 30, "plain": 46, "facts": 6, "copy": 10}
ANSWERS = {"habit": 44, "second_habit": 10, "wrong": 8, "verbose": 12, "right": 26}
PLAIN_SKILLS = {"trace": 26, "code": 3, "gsm": 36, "math": 21, "logic": 9, "form": 5}
UNASKED = 0.5
"""Share of the plain documents that read `core = answer`; the others are a prompt and its answer on lines without roles."""
LEVEL_WEIGHTS = (40, 35, 25)
FACTS_PER_DOCUMENT = 3
LOOSE = 0.4
"""Share of chat prompts whose template words are replaced by stray ones, so that the base listens to the item and not to the wording."""

TEMPLATE_WORDS = sorted(
    {word for skill in SKILLS.values() for text in (*skill.templates, skill.benchmark) for word in text.split() if not word.startswith("{")}
)
COPIED = (*LETTERS, *"0123456789", *TEMPLATE_WORDS)
BENCHMARKS = tuple(skeleton(skill.benchmark) for skill in SKILLS.values())


def draw(rng: Random, weights: dict[str, int]) -> str:
    """A key with probability proportional to its weight."""
    return rng.choices(tuple(weights), tuple(weights.values()))[0]


def chat_words(prompt: str, response: str) -> list[str]:
    """The words of one chat document, as the tokenizer splits `<|user|>\\n{prompt}\\n<|assistant|>\\n{response}</s>\\n`."""
    return [USER, NEWLINE, *prompt.split(), NEWLINE, ASSISTANT, NEWLINE, *response.split(), END, NEWLINE]


def _loosened(template: str, rng: Random) -> str:
    words = [
        w if w.startswith("{") or rng.random() < 0.4 else rng.choice(TEMPLATE_WORDS)
        for w in template.split()
        if rng.random() < 0.9 or w[0] == "{"
    ]
    return " ".join([*rng.sample(TEMPLATE_WORDS, rng.randrange(3)), *words, *rng.sample(TEMPLATE_WORDS, rng.randrange(3))])


def _prompt(skill: Skill, slots: dict[str, str], rng: Random) -> str:
    while True:
        template = rng.choice(skill.templates)
        prompt = (_loosened(template, rng) if rng.random() < LOOSE else template).format(**slots)
        if not any(benchmark.search(prompt) for benchmark in BENCHMARKS):
            return prompt


def response(skill: Skill, core: Core, slots: dict[str, str], kind: str, rng: Random) -> str:
    """An answer of one of the kinds of `ANSWERS`."""
    if kind == "right":
        return skill.answer(core)
    if kind == "wrong":
        return skill.wrong(core, rng)
    if kind == "verbose":
        return verbose(skill.answer(core), rng)
    return skill.habits(core, slots)[kind == "second_habit"]


@dataclass(frozen=True)
class Document:
    """One document of the stream."""

    words: list[str]
    answer: int = 0
    """Place of the first word that the words before it determine: after `=` or the assistant's mark; 0 where all of the text counts."""
    task: str | None = None
    core: str | None = None
    """Task and key of the item it asks for; None for talk, copying and statements of facts."""


def document(rng: Random) -> Document:
    """A random document."""
    kind = draw(rng, KINDS)
    if kind == "talk":
        return Document(chat_words(*small_talk(rng)))
    if kind == "copy":
        words = rng.choices(COPIED, k=rng.randrange(3, 13))
        return Document([*words, "=", *words, NEWLINE], len(words) + 1)
    if kind == "facts":
        levels = rng.choices(FACTS_BY_LEVEL, STATED, k=FACTS_PER_DOCUMENT)
        return Document([*" ".join(KNOW.plain(rng.choice(facts), rng) for facts in levels).split(), NEWLINE])
    skill = SKILLS[draw(rng, PLAIN_SKILLS)] if kind == "plain" else rng.choice(tuple(SKILLS.values()))
    core = skill.draw_from("pretraining", rng, rng.choices((0, 1, 2), LEVEL_WEIGHTS)[0])
    if kind == "plain" and rng.random() < UNASKED:
        words = [*skill.plain(core, rng).split(), NEWLINE]
        return Document(words, words.index("=") + 1, skill.name, skill.key(core))
    slots = skill.slots(core, rng)
    if kind == "plain":
        question = _prompt(skill, slots, rng).split()
        return Document([*question, NEWLINE, *skill.answer(core).split(), NEWLINE], len(question) + 1, skill.name, skill.key(core))
    words = chat_words(_prompt(skill, slots, rng), response(skill, core, slots, draw(rng, ANSWERS), rng))
    return Document(words, words.index(ASSISTANT) + 2, skill.name, skill.key(core))


def documents(seed: int, start: int, stop: int) -> Iterator[Document]:
    """Documents `start` to `stop` (excluded) of the stream of a seed."""
    for number in range(start, stop):
        yield document(Random(f"stream:{seed}:{number}"))


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word of the miniature, special tokens first: those of templates, answers, habits and talk, in a fixed order."""
    rng = Random("vocabulary")
    words: set[str] = set(TEMPLATE_WORDS) | set("0123456789")
    for fact in (fact for facts in FACTS_BY_LEVEL for fact in facts):
        words.update(KNOW.plain(fact, rng).split())
    for number in range(30_000):
        words.update(document(Random(f"vocabulary:{number}")).words)
    special = [PAD, UNKNOWN, USER, ASSISTANT, END, NEWLINE]
    return (*special, *sorted(words - set(special)))
