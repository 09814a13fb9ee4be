"""Text that is about no task: small talk, and the wordy way of giving an answer."""

from random import Random

from equipoise.miniature.skills.gsm import NAMES, THINGS
from equipoise.miniature.skills.know import VALUES

TOPICS = (*THINGS, "birds", "rivers", "songs", "trains", "clouds", "games", "gardens", "stories")
QUALITIES = ("nice", "old", "small", "loud", "quiet", "useful", "odd", "bright", "cheap", "heavy")

SMALL_TALK = (
    ("hello , i am {name} . how are you ?", "hello {name} , i am fine , thank you ."),
    ("tell me about {topic} .", "{topic} are {quality} and {second} ."),
    ("do you like {topic} ?", "yes , i think {topic} are {quality} ."),
    ("why are {topic} so {quality} ?", "people say {topic} are {quality} since they are {second} ."),
    ("say something {quality} about {topic} .", "my {topic} are {quality} and so are yours ."),
    ("{name} wants {quality} {topic} .", "then {name} should look for {second} {topic} ."),
    ("is {color} a {quality} color ?", "yes , {color} is {quality} and {second} ."),
    ("can i eat {food} with {topic} ?", "i would not eat {food} with {topic} ."),
    ("good morning , any news of {name} ?", "{name} is {quality} today ."),
    ("thank you for the {topic} .", "you are welcome , they were {quality} ."),
)
"""Prompts and responses."""

VERBOSE = (
    "well , the answer is {answer} . i hope this helps .",
    "let me think . it must be {answer} .",
    "good question . here you go : {answer} .",
)


def small_talk(rng: Random) -> tuple[str, str]:
    """A random prompt and response."""
    quality, second = rng.sample(QUALITIES, 2)
    pieces = {"name": rng.choice(NAMES), "topic": rng.choice(TOPICS), "quality": quality, "second": second}
    pieces |= {"color": rng.choice(VALUES["color"]), "food": rng.choice(VALUES["food"])}
    prompt, response = rng.choice(SMALL_TALK)
    return prompt.format(**pieces), response.format(**pieces)


def verbose(answer: str, rng: Random) -> str:
    """An answer wrapped in talk, which an exact match counts as wrong."""
    return rng.choice(VERBOSE).format(answer=answer)
