"""The miniature's items: disjoint parts, wording kept apart, right answers, pool composition."""

import json
from collections import Counter
from random import Random

import pytest

from equipoise.files import file_digest
from equipoise.miniature.generate import ITEMS, items, write_data
from equipoise.miniature.generated_pool import PROFILES, ROWS, oracle_ranks, pool_rows
from equipoise.miniature.skills import ALL_SKILLS, PARTS, SKILLS, skeleton
from equipoise.miniature.stream import documents, vocabulary

STREAM_DOCUMENTS = 40_000


@pytest.fixture(scope="module")
def stream():
    return list(documents(0, 0, STREAM_DOCUMENTS))


@pytest.fixture(scope="module")
def noisy():
    return pool_rows("noisy", 0)


@pytest.fixture(scope="module")
def pools():
    return [row for profile in PROFILES for seed in range(3) for row in pool_rows(profile, seed)]


def _cores(task, part):
    return {item["core"] for item in items(SKILLS[task], part)}


def test_the_parts_cover_every_percentile_once():
    percentiles = [p for start, stop in PARTS.values() for p in range(start, stop)]
    assert sorted(percentiles) == list(range(100))


@pytest.mark.parametrize("task", SKILLS)
def test_pretraining_pool_validation_and_test_share_no_item(task, stream, pools):
    asked = {document.core for document in stream if document.task == task}
    pooled = {row["core"] for row in pools if row["source"] == task}
    parts = [asked, pooled, _cores(task, "validation"), _cores(task, "test")]
    assert all(parts)
    assert sum(map(len, parts)) == len(set().union(*parts))


@pytest.mark.parametrize("task", SKILLS)
def test_every_drawn_item_belongs_to_the_part_asked_for_whatever_the_seed(task):
    skill = SKILLS[task]
    for part in PARTS:
        for level in range(3):
            assert {skill.part(skill.draw_from(part, Random(f"{part}{seed}"), level)) for seed in range(50)} == {part}


@pytest.mark.parametrize("task", SKILLS)
def test_the_benchmark_wording_stands_in_validation_and_test_alone(task, stream, noisy):
    wording = skeleton(SKILLS[task].benchmark)
    assert all(wording.search(item["prompt"]) for part in ITEMS for item in items(SKILLS[task], part))
    assert not any(wording.search(" ".join(document.words)) for document in stream)
    assert not any(wording.search(row["prompt"]) for row in noisy)


def test_every_fact_is_stated_in_pretraining_yet_only_those_of_its_part_are_asked(stream):
    from equipoise.miniature.skills.know import FACTS, KNOW

    stated = " ".join(" ".join(document.words) for document in stream if document.task is None)
    missing = [core for core in FACTS if not any(KNOW.plain(core, Random(n)) in stated for n in range(8))]
    assert len(missing) < 0.2 * len(FACTS)  # a 15th of the whole stream; hard facts are stated least
    asked = {tuple(document.core.removeprefix("know: ").split()) for document in stream if document.task == "know"}
    assert {KNOW.part(core) for core in asked} == {"pretraining"}


def test_the_vocabulary_holds_every_word_of_every_part(stream, noisy):
    words = set(vocabulary())
    texts = [f"{row['prompt']} {row['response']}" for row in noisy + pool_rows("clean", 2) + pool_rows("conflicting", 2)]
    texts += [f"{item['prompt']} {item['response']}" for skill in ALL_SKILLS.values() for part in ITEMS for item in items(skill, part)]
    assert {word for text in texts for word in text.split()} <= words
    assert {word for document in stream for word in document.words} <= words


@pytest.mark.parametrize(
    ("task", "core", "right"),
    [
        ("trace", ("rev tail", "n h o d"), "o h n"),
        ("trace", ("dup rot swap", "k m d"), "m k d k"),
        ("trace", ("chop echo", "k m d"), "k m m"),
        ("code", ("then", "times", "plain", 2, "add", "half", 18), "( ( x * 2 ) + 9 )"),
        ("code", ("after", "times", "next", 1, "add", "double", 9), "( ( x + 1 8 ) * 2 )"),
        ("gsm", (11, "-", 6), "5"),
        ("gsm", (11, "-", 6, "+", 9), "1 4"),
        ("math", (8, "*", 7, "+", 9, 5), "0"),
        ("math", (18, "+", 19, 10), "7"),
        ("logic", ("not true and false", "true xor not true"), "a false b true"),
        ("logic", ("true or false and false", "not false xor true xor true"), "a false b true"),
        ("form", ("comma and quote", "h j p"), '" h , j , p "'),
        ("form", ("backward and dash", "h j p"), "p - j - h"),
    ],
)
def test_right_answers_are_right(task, core, right):
    assert SKILLS[task].answer(core) == right


@pytest.mark.parametrize("task", SKILLS)
def test_wrong_answers_and_habits_differ_from_the_right_one(task):
    skill, rng = SKILLS[task], Random(0)
    for number in range(600):
        core = skill.draw_from("pool", rng, number % 3)
        assert skill.answer(core) not in (skill.wrong(core, rng), *skill.habits(core, skill.slots(core, rng)))


@pytest.mark.parametrize("profile", PROFILES)
def test_the_pool_has_the_shares_and_the_noise_of_its_profile(profile):
    rows = pool_rows(profile, 1)
    assert len(rows) == ROWS == len({row["id"] for row in rows}) == len({row["prompt"] for row in rows})
    assert Counter(row["source"] for row in rows) == {source: ROWS * share // 100 for source, share in PROFILES[profile].shares.items()}
    asked = [row for row in rows if row["kind"] != "off_task"]
    share = Counter(row["kind"] for row in asked)
    assert 100 * share["wrong"] / len(asked) == pytest.approx(PROFILES[profile].wrong, abs=1.5)
    assert 100 * share["verbose"] / len(asked) == pytest.approx(PROFILES[profile].verbose, abs=2)
    assert 100 * sum(row["duplicate_of"] is not None for row in rows) / ROWS == pytest.approx(PROFILES[profile].duplicates, abs=0.5)


def test_conflicting_tasks_ask_alike_and_want_the_opposite():
    logic, contrary = ALL_SKILLS["logic"], ALL_SKILLS["contrary"]
    turned = str.maketrans({"0": "1", "1": "0"})
    for number in range(300):
        core = contrary.draw_from("pool", Random(number), number % 3)
        answers = [skill.answer(core).replace("true", "1").replace("false", "0") for skill in (logic, contrary)]
        assert answers[0].translate(turned) == answers[1]
        assert contrary.answer(core) not in (contrary.wrong(core, Random(number)), *contrary.habits(core, contrary.slots(core, Random(0))))
        assert logic.part(core) == contrary.part(core) == "pool", "an item asked both ways is in one part"
    for one, other in zip((*logic.templates, logic.benchmark), (*contrary.templates, contrary.benchmark), strict=True):
        assert [word for word in other.split() if word != "backward"] == one.split()
    rows = pool_rows("conflicting", 3)
    assert Counter(row["source"] for row in rows)["form"] == ROWS // 100
    tested = {item["core"] for skill in (logic, contrary) for part in ITEMS for item in items(skill, part)}
    assert not tested & {row["core"] for row in rows}


def test_near_duplicates_repeat_an_original_and_nothing_else_repeats(noisy):
    by_id = {row["id"]: row for row in noisy}
    for row in noisy:
        if row["duplicate_of"]:
            original = by_id[row["duplicate_of"]]
            assert original["duplicate_of"] is None
            assert (original["core"], original["response"]) == (row["core"], row["response"])
            assert original["prompt"] != row["prompt"]
    originals = [row["core"] for row in noisy if row["core"] and not row["duplicate_of"]]
    assert len(originals) == len(set(originals))


def test_every_prefix_of_the_oracle_is_clean_and_as_balanced_as_the_rows_allow(noisy):
    order = sorted((row for row in noisy if row["oracle_rank"] is not None), key=lambda row: row["oracle_rank"])
    assert [row["oracle_rank"] for row in order] == list(range(len(order)))
    assert all(row["kind"] == "right" and row["duplicate_of"] is None for row in order)
    available = Counter(row["source"] for row in order)
    assert set(available) == set(SKILLS)
    taken = Counter()
    for row in order[:750]:
        taken[row["source"]] += 1
        most = max(taken.values())
        assert all(taken[task] >= min(most - 1, available[task]) for task in SKILLS)
    assert oracle_ranks(noisy) == {row["id"]: row["oracle_rank"] for row in order}


def test_the_files_depend_on_profile_and_seed_alone(tmp_path):
    def digests(root, profile, seed):
        folder = write_data(profile, seed, root)
        return {str(path.relative_to(folder)): file_digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}

    first = digests(tmp_path / "a", "noisy", 3)
    assert len(first) == 1 + 3 * len(SKILLS)
    assert digests(tmp_path / "b", "noisy", 3) == first
    other = digests(tmp_path / "c", "noisy", 4)
    assert {name for name in first if first[name] != other[name]} == {"pool.jsonl"} | {f"lm_eval/{task}.yaml" for task in SKILLS}


def test_validation_and_test_have_enough_items_of_every_difficulty(tmp_path):
    folder = write_data("clean", 0, tmp_path)
    for task in SKILLS:
        for part, least in (("validation", 50), ("test", 200)):
            rows = [json.loads(line) for line in (folder / part / f"{task}.jsonl").read_text().splitlines()]
            assert len(rows) >= least
            assert min(Counter(row["difficulty"] for row in rows).values()) >= len(rows) // 3
            assert {"prompt", "response", "id"} <= set(rows[0])
