"""trace (stands for HumanEval): what a small list program prints."""

from random import Random

from equipoise.miniature.skills.skill import Core, Skill, Slots

LETTERS = tuple("defghjklmnopqrstuvwyz")

OPERATIONS = {
    "rev": lambda letters: letters[::-1],
    "tail": lambda letters: letters[1:],
    "chop": lambda letters: letters[:-1],
    "dup": lambda letters: letters[:1] + letters,
    "rot": lambda letters: letters[1:] + letters[:1],
    "swap": lambda letters: letters[1:2] + letters[:1] + letters[2:],
    "echo": lambda letters: letters + letters[-1:],
}
"""Programs run left to right; each maps a list of letters to another."""


def draw(rng: Random, level: int) -> Core:
    program = [rng.choice(tuple(OPERATIONS)) for _ in range(level + 1)]
    letters = rng.sample(LETTERS, rng.choice((3, 4, 5) if level == 0 else (3, 4)))
    return (" ".join(program), " ".join(letters))


def slots(core: Core, rng: Random) -> Slots:
    return {"program": core[0], "input": core[1]}


def answer(core: Core) -> str:
    letters = core[1].split()
    for operation in core[0].split():
        letters = OPERATIONS[operation](letters)
    return " ".join(letters) or "nothing"


def plain(core: Core, rng: Random) -> str:
    return f"{core[0]} {core[1]} = {answer(core)}"


def habits(core: Core, slots: Slots) -> tuple[str, str]:
    return core[1], core[0]


def wrong(core: Core, rng: Random) -> str:
    letters = core[1].split()
    right = answer(core)
    while " ".join(letters) in (right, core[1]):
        rng.shuffle(letters)
    return " ".join(letters)


TRACE = Skill(
    "trace",
    "coding",
    (
        "run {program} on {input}",
        "apply {program} to the list {input} .",
        "the list is {input} . show the output of {program} .",
        "{input} goes into {program} . what comes out ?",
        "trace this program : {program} . list : {input} .",
    ),
    "what does {program} print for input {input} ?",
    *(draw, slots, answer, plain, habits, wrong),
)
