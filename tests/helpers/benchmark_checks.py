"""Runs in a process of its own, with HF_ENDPOINT set: validation sets and evaluated items of the seven benchmarks, as JSON.

`python benchmark_checks.py RESPONSES BASE_RESULTS [leak_free]`
"""

import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet

from equipoise.benchmarks import BENCHMARKS
from equipoise.config_file import parse_config
from equipoise.data.targets import prepare_targets, task_targets
from equipoise.evaluation.grading import sandboxed
from equipoise.evaluation.session import Session
from equipoise.harness.documents import evaluation_prompt, question
from equipoise.harness.tasks import load_tasks, reseed_fewshot
from equipoise.store.manifest import read_manifest
from helpers.tokens import encode

LEAVES = {
    "human_eval": ["equipoise_human_eval"],
    "mbpp": ["equipoise_mbpp"],
    "bbh": ["equipoise_bbh_boolean_expressions", "equipoise_bbh_word_sorting"],
    "mmlu": ["mmlu_anatomy", "mmlu_virology"],
    "gsm_plus": ["equipoise_gsm_plus"],
    "math": ["equipoise_math_algebra", "equipoise_math_geometry"],
    "ifeval": ["ifeval"],
    "stock_gsm_plus": ["gsm_plus"],
    "stock_math": ["minerva_math_prealgebra"],
    "any_math": ["minerva_math_algebra"],
    "any_mmlu": ["mmlu_anatomy", "mmlu_virology"],
}
ANY = "any_"
"""Tasks that `benchmark: lm_eval` draws from by name alone."""
METRICS = {"stock_gsm_plus": "exact_match,flexible-extract", "stock_math": "math_verify,none"}
METRICS |= {"any_math": "math_verify,none", "any_mmlu": "acc,none"}


def configuration(responses: str, results: str, validation: str = "paper"):
    tasks = {
        name: {
            "capability": "any",
            "benchmark": "lm_eval" if name.startswith(ANY) else name.removeprefix("stock_"),
            "suite": name,
            "lm_eval_tasks": leaves,
            **({"metric": METRICS[name]} if name in METRICS else {}),
        }
        for name, leaves in LEAVES.items()
    }
    tasks["ifeval"]["files"] = [responses]
    suites: dict = {name: {} for name in tasks}
    suites["mmlu"] = suites["any_mmlu"] = {"chat": False, "num_fewshot": 5}
    values = {
        "experiment": "benchmarks",
        "results": results,
        "model": {"name": "tiny", "base": "meta-llama/Meta-Llama-3-8B", "precision": "fp32", "device": "cpu"},
        "pool": {"dataset": "openbmb/UltraInteract_sft"},
        "targets": {"size": 8},
        "tasks": tasks,
        "suites": suites,
        "sandbox": {"mode": "auto"},
    }
    config = parse_config(values)
    config.targets.validation = validation  # unchecked: without substitutes a file that says leak_free is refused
    return config


def score(task, doc, response: str, metric: str) -> float:
    """What lm-eval's own filters and metric say of a response."""
    from lm_eval.api.instance import Instance

    name, _, wanted = metric.partition(",")
    instance = Instance("generate_until", doc, ("", {}), 0, resps=[response])
    for filters in task._filters:
        filters.apply([instance])
    return float(task.process_results(doc, [instance.filtered_resps[wanted]])[name])


def checked(config, session: Session, name: str) -> dict:
    rows, manifest = task_targets(config, name)
    items = session.items(name)
    held = set(manifest["hashes"])
    evaluated = [(leaf, doc_id) for leaf in items.leaves[name] for doc_id in items.samples[leaf]]
    answer = {
        "rows": len(rows),
        "leaves": len({json.loads(row["origin"])["lm_eval_task"] for row in rows}),
        "splits": sorted({json.loads(row["origin"])["split"] for row in rows}),
        "evaluated": len(evaluated),
        "in all": sum(map(len, items.hashes.values())),
        "leaked": sum(items.hashes[leaf][doc_id] in held for leaf, doc_id in evaluated),
        "sorted": all(ids == sorted(set(ids)) for ids in items.samples.values()),
        "commits": all(manifest["sources"][leaf] for leaf in items.leaves[name]),
        "chat": sorted({row["chat"] for row in rows}),
        "prompt": rows[0]["prompt"],
        "response": rows[0]["response"],
    }
    documents = {leaf: items.tasks[leaf].eval_docs for leaf in items.leaves[name]}
    if name.endswith("gsm_plus"):
        seeds = {documents[o["lm_eval_task"]][o["doc_id"]]["seed_question"] for o in (json.loads(row["origin"]) for row in rows)}
        answer["families left"] = sum(documents[leaf][doc_id]["seed_question"] in seeds for leaf, doc_id in evaluated)
    if config.targets.validation == "leak_free" and name == "mbpp":
        answer["evaluated splits"] = Counter(documents[leaf][doc_id]["split"] for leaf, doc_id in evaluated)
    origins = [json.loads(row["origin"]) for row in rows]
    if items.tasks[items.leaves[name][0]].OUTPUT_TYPE == "generate_until" and config.targets.validation == "paper":
        with sandboxed(config.sandbox):
            answer["scores"] = [
                score(items.tasks[o["lm_eval_task"]], _doc(config, items, name, o), row["response"], config.tasks[name].metric)
                for o, row in zip(origins, rows, strict=True)
            ]
    answer["same tokens"] = same_tokens(config, session, name, evaluated[0])
    return answer


def _doc(config, items, name: str, origin: dict) -> dict:
    task = items.tasks[origin["lm_eval_task"]]
    evaluated = task.config.test_split or task.config.validation_split
    return task.eval_docs[origin["doc_id"]] if origin["split"] == evaluated else _drawn_from(task, origin["split"])[origin["doc_id"]]


def _drawn_from(task, split: str) -> list:
    """A split as the task processes it."""
    return list(task.config.process_docs(task.dataset[split]) if task.config.process_docs else task.dataset[split])


def same_tokens(config, session: Session, name: str, item: tuple[str, int]) -> bool:
    """Whether the tokens lm-eval sends for an item are those of training's prefix for the prompt of a validation example."""
    leaf, doc_id = item
    task, chat = session.items(name).tasks[leaf], config.suites[name].chat
    doc = task.eval_docs[doc_id]
    with session.language_model(name, None) as model:
        reseed_fewshot(task)
        task.build_all_requests(
            samples=[doc_id],
            apply_chat_template=chat,
            chat_template=model.apply_chat_template if chat else None,
            fewshot_as_multiturn=False,
        )
        arguments = task.instances[0].args
        if chat:
            sent, begun = model.tok_encode(arguments[0]), []
        else:
            sent, begun = model._encode_pair(*arguments)
        reseed_fewshot(task)
        trained = encode(session.tokenizer, evaluation_prompt(task, doc, chat), " A" if not chat else "x", 100_000, chat)
        return sent == trained.input_ids[: trained.prompt_length] and (chat or begun == trained.input_ids[trained.prompt_length :])


def substituted(responses: str, results: str, name: str) -> dict:
    """Leak-free validation from eight substitutes, the last of which is, against its purpose, a test item."""
    plain = configuration(responses, results, validation="paper")
    test_item = next(row for row in task_targets(plain, name)[0])
    folder = Path(results) / "substitutes"
    folder.mkdir(parents=True, exist_ok=True)
    questions = [*(f"Another question {i}?" for i in range(7)), _question(name, test_item)]
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"prompt": q, "response": f"answer {i}"}) + "\n" for i, q in enumerate(questions)), encoding="utf-8")
    config = configuration(responses, f"{results}/{name}", validation="leak_free")
    config.tasks[name].substitutes = [str(path)]
    prepare_targets(config, [name])
    items = Session(config).items(name)
    evaluated = [items.hashes[leaf][doc_id] for leaf in items.leaves[name] for doc_id in items.samples[leaf]]
    layout = config.layout
    manifest = read_manifest(layout.target_manifest(name), "targets")
    rows = pyarrow.parquet.read_table(layout.target(name)).to_pylist()
    return {
        "responses": [row["response"] for row in rows],
        "evaluated": len(evaluated),
        "leaked": len(set(evaluated) & set(manifest["hashes"])),
    }


def _question(name: str, row: dict) -> str:
    """The question of a validation example drawn from the test set, without shots."""
    origin = json.loads(row["origin"])
    task = load_tasks([origin["lm_eval_task"]]).tasks[origin["lm_eval_task"]]
    return question(task, task.eval_docs[origin["doc_id"]])


def main() -> None:
    responses, results, *mode = sys.argv[1:]
    answers: dict = {}
    if mode:
        config = configuration(responses, results, validation=mode[0])
        drawn = [name for name, task in config.tasks.items() if not BENCHMARKS[task.benchmark].substitutable]
        for name in LEAVES.keys() - drawn:
            answers[f"{name} with substitutes"] = substituted(responses, results, name)
    else:
        config = configuration(responses, results)
        drawn = list(LEAVES)
    prepare_targets(config, drawn)
    session = Session(config)
    for name in drawn:
        answers[name] = checked(config, session, name)
        manifest = read_manifest(config.layout.target_manifest(name), "targets")
        answers[name]["repeatable"] = manifest["hashes"] == task_targets(config, name)[1]["hashes"]
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
