"""Writes the miniature's data: the pool, the tasks' validation and test items, and the lm-eval tasks that evaluate them.

The pool depends on (profile, seed). Validation and test items are fixed, as a benchmark's are: scores compare across pools, and the
spread over pool seeds is the pool's alone.
"""

from pathlib import Path
from random import Random

from equipoise.config import Experiment, Miniature
from equipoise.errors import UserError
from equipoise.files import write_jsonl, write_text
from equipoise.miniature.generated_pool import DIFFICULTIES, PROFILES, pool_rows
from equipoise.miniature.skills import Skill

ITEMS = {"validation": 60, "test": 200}
"""Items per task; `targets.size` validation examples are drawn of the first."""

LONGEST_ANSWER = 32
"""Tokens of the longest right answer, end included, rounded up."""

LM_EVAL_TASK = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/test/{task}.jsonl
test_split: test
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{response}}}}"
num_fewshot: 0
generation_kwargs:
  until:
    - "\\n"
    - "</s>"
  do_sample: false
  max_gen_toks: {tokens}
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    regexes_to_ignore:
      - "\\\\s+"
metadata:
  version: 1.0
"""


def lm_eval_task(task: str) -> str:
    """Name of a task in lm-eval: `miniature_<task>`."""
    return f"miniature_{task}"


def items(skill: Skill, part: str) -> list[dict]:
    """The validation or test items of a task: {id, prompt, response, difficulty, core}, in the benchmark's words, difficulties in turn."""
    rng = Random(f"{part}:{skill.name}")
    drawn: dict = {}
    while len(drawn) < ITEMS[part]:
        level = len(drawn) % len(DIFFICULTIES)
        core = skill.draw_from(part, rng, level)
        if core not in drawn:
            prompt = skill.benchmark.format(**skill.slots(core, rng))
            item = {"id": f"{part}-{skill.name}-{len(drawn):03d}", "prompt": prompt, "response": skill.answer(core)}
            drawn[core] = {**item, "difficulty": DIFFICULTIES[level], "core": skill.key(core)}
    return list(drawn.values())


def generate(config: Experiment) -> None:
    """Writes pool.jsonl, validation/<task>.jsonl, test/<task>.jsonl and lm_eval/<task>.yaml to the folder of `config.miniature`.

    Raises `UserError` when the experiment has no `miniature` section.
    """
    if config.miniature is None:
        raise UserError("miniature: not set; write miniature: {profile: noisy, seed: 0} to generate the embedded experiment's data")
    write_data(config.miniature.profile, config.miniature.seed)


def write_data(profile: str, seed: int, root: str | Path = ".") -> Path:
    """Writes the files of `generate` under `root` and returns their folder. Raises `UserError` for an unknown profile."""
    if profile not in PROFILES:
        raise UserError(f"profile {profile!r}: no such noise profile; write one of {', '.join(PROFILES)}")
    folder = Miniature(profile=profile, seed=seed).folder
    target = Path(root) / folder
    for name, skill in PROFILES[profile].skills.items():
        for part in ITEMS:
            write_jsonl(target / part / f"{name}.jsonl", items(skill, part))
        text = LM_EVAL_TASK.format(name=lm_eval_task(name), folder=folder, task=name, tokens=LONGEST_ANSWER)
        write_text(target / "lm_eval" / f"{name}.yaml", text)
    write_jsonl(target / "pool.jsonl", pool_rows(profile, seed))
    return target
