"""Memory and speed of prepare_pool: python tests/benchmarks/bench_pool.py [--rows 20000] [--words 300] [--threads 2] [--base FOLDER]
[--without-tokens] [--repeated 0.01] [--folder /tmp].

Makes a pool of so many rows (--repeated of them say what an earlier one says) as JSON Lines, prepares it in a process of its own with so
many threads, and prints rows a second, the peak memory of that process (VmHWM, libraries included), and what each row takes. Before and
after, the bare tokenizer, `tokenizer(texts)`, has the first rows under the chat template in memory, in batches of the same size, with the
same threads; the goal is at least 0.8 of its rows a second. Either clock starts when transformers is loaded, which takes some 3 s.
Bounds: 1 GiB for 10^6 rows, 2 GiB for 10^7. --without-tokens prepares without a tokenizer (words are counted in its place): what reading
and writing take. A further process encodes the prepared pool, as stages that train or collect do: the bytes a token that its peak memory
grows by, and those of the arrays that it keeps. By default the tokenizer is a byte-level BPE of 16,384 tokens trained on such texts
here; --base takes that of a real base.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from equipoise.planning.host_memory import ENCODED_TOKEN

REPOSITORY = Path(__file__).resolve().parents[2]
BASE = REPOSITORY / "workflow" / "equipoise" / "miniature" / "base"
VOCABULARY, PHRASES, SOURCES = 20_000, 5_000, 12
TOKENS = 16_384
LOOKED_AT = 20_000  # rows that the bare tokenizer has
GIB = 2**30

CHILD = """
import json, sys, time
from equipoise.config_file import read_config
from equipoise.process import prepare_process

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

path, mode = sys.argv[1:3]
config = read_config(path)
prepare_process(config, "prepare_pool")
from equipoise.data import pool
from equipoise.modelling.base import load_tokenizer

if mode == "bare":
    from itertools import islice
    from equipoise.conversation.reading import Summary
    tokenizer = load_tokenizer(config.model)
    records = islice(pool.pool_records(config, Summary()), int(sys.argv[3]))
    texts = [tokenizer.apply_chat_template(record.messages, tokenize=False) for record in records]
    tokens, seconds, cpu = 0, [], []
    for _ in range(3):
        start, processor = time.perf_counter(), time.process_time()
        tokens = 0
        for at in range(0, len(texts), pool.TOKENISED_AT_ONCE):
            tokens += sum(map(len, tokenizer(texts[at : at + pool.TOKENISED_AT_ONCE], add_special_tokens=False).input_ids))
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - processor)
    said = {"rows": len(texts), "seconds": min(seconds), "cpu": min(cpu), "tokens": tokens}
elif mode == "encode":
    from equipoise.data.encoding import encode_file
    tokenizer, stored = load_tokenizer(config.model), sys.argv[3]
    encode_file(stored, tokenizer, config.model.max_length, 0, 8)
    before = peak()
    examples = encode_file(stored, tokenizer, config.model.max_length)
    tokens = sum(len(example.input_ids) for example in examples)
    said = {"tokens": tokens, "grown": (peak() - before) / tokens, "kept": examples.nbytes / tokens}
else:
    if mode == "words":
        from equipoise.modelling.chat import Length
        pool._lengths = lambda config, tokenizer, batch: [Length(n := 1 + r.response.count(" "), n - 1, False) for r in batch]
    load_tokenizer(config.model)
    start, processor = time.perf_counter(), time.process_time()
    pool.prepare_pool(config)
    said = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - processor}
print(json.dumps(said | {"peak": peak()}))
"""


def make_base(folder: Path, phrases: list[str]) -> Path:
    """The miniature's base with a byte-level BPE trained on the phrases."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=TOKENS, initial_alphabet=alphabet, special_tokens=["<bos>", "<eos>"], show_progress=False)
    tokenizer.train_from_iterator(phrases, trainer)
    shutil.copytree(BASE, folder, ignore=shutil.ignore_patterns("tokenizer*", "chat_template*"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>").save_pretrained(folder)
    return folder


def make_phrases(words: int) -> list[str]:
    """Texts of about a fifth of `words` words each, short words being the frequent ones."""
    generator = random.Random(0)
    letters, weights = "etaoinshrdlucmfwypvbgk", [1 / place for place in range(1, VOCABULARY + 1)]
    known = ["".join(generator.choices(letters, k=2 + place * 9 // VOCABULARY)) for place in range(VOCABULARY)]
    count = max(1, words // 5)
    return [" ".join(generator.choices(known, weights, k=generator.randint(1, 2 * count))) for _ in range(PHRASES)]


def write_rows(path: Path, rows: int, phrases: list[str], repeated: float) -> None:
    """Rows of two phrases that ask and three that answer, by a rule without chance: none says what another says but those that repeat."""
    every = round(1 / repeated) if repeated else rows + 1
    quoted = [json.dumps(phrase)[1:-1] for phrase in phrases]
    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            said = row - 1 if row % every == every - 1 else row
            asked, answered = (" ".join(quoted[(said * step + shift) % PHRASES] for step, shift in steps) for steps in STEPS)
            file.write(
                f'{{"id": "row-{row}", "source": "source-{row % SOURCES}", "prompt": "{asked} {said}?", "response": "{answered}."}}\n'
            )


STEPS = (((1, 0), (7, 3)), ((11, 5), (13, 1), (17, 2)))


def child(config: Path, mode: str, *words: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", CHILD, str(config), mode, *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--words", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--base", default=None)
    parser.add_argument("--without-tokens", action="store_true")
    parser.add_argument("--repeated", type=float, default=0.01)
    parser.add_argument("--deduplicate", default="none", choices=("none", "exact", "near"))
    parser.add_argument("--folder", default=tempfile.gettempdir())
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        phrases = make_phrases(options.words)
        write_rows(folder / "pool.jsonl", options.rows, phrases, options.repeated)
        base = options.base or str(make_base(folder / "base", phrases))
        values = {
            "experiment": "bench",
            "results": str(folder / "results"),
            "budgets": [0.1],
            "selectors": ["random"],
            "model": {"name": "bench", "base": base, "chat_template": "paper", "max_length": 2048},
            "pool": {"files": [str(folder / "pool.jsonl")], "deduplicate": options.deduplicate},
            "tasks": {"none": {"capability": "none", "files": [str(folder / "pool.jsonl")]}},
            "jobs": {"threads": {"prepare_pool": options.threads}},
        }
        (folder / "config.yaml").write_text(json.dumps(values), encoding="utf-8")
        size = (folder / "pool.jsonl").stat().st_size
        load = [os.getloadavg()[0]]
        bare = [] if options.without_tokens else [child(folder / "config.yaml", "bare", str(LOOKED_AT))]
        stage = child(folder / "config.yaml", "words" if options.without_tokens else "stage")
        bare += [] if options.without_tokens else [child(folder / "config.yaml", "bare", str(LOOKED_AT))]
        load.append(os.getloadavg()[0])
        (written,) = folder.glob("results/**/pool.parquet")
        kept = written.stat().st_size
        encoded = None if options.without_tokens else child(folder / "config.yaml", "encode", str(written))
    finally:
        shutil.rmtree(folder)
    print(f"{options.rows:,} rows of {size / options.rows:.0f} bytes, {options.threads} threads, deduplicate: {options.deduplicate}")
    a_row = f"CPU {stage['cpu'] / options.rows * 1e6:.0f} us a row"
    print(f"  prepare_pool: {stage['seconds']:.1f} s, {options.rows / stage['seconds']:,.0f} rows/s, {a_row}, {kept / 1e9:.2f} GB written")
    print(f"  peak memory {stage['peak'] / GIB:.2f} GiB (bounds: 1 GiB for 10^6 rows, 2 GiB for 10^7)")
    if bare:
        best = min(bare, key=lambda each: each["seconds"])
        rate, cpu = best["rows"] / best["seconds"], min(each["cpu"] for each in bare) / best["rows"]
        print(f"  bare tokenizer: {rate:,.0f} rows/s, CPU {cpu * 1e6:.0f} us a row, {best['tokens'] / best['rows']:.0f} tokens a row")
        shares = options.rows / stage["seconds"] / rate, cpu / stage["cpu"] * options.rows
        print(f"  prepare_pool / bare: {shares[0]:.2f} in wall time, {shares[1]:.2f} in CPU time (goal: at least 0.80)")
    if encoded:
        tokens = f"{encoded['tokens']:,.0f} tokens"
        print(
            f"  encoding {tokens}: {encoded['grown']:.1f} bytes a token at the peak (the plan: {ENCODED_TOKEN}), {encoded['kept']:.1f} kept"
        )
    print(f"  load average before and after: {load[0]:.1f}, {load[1]:.1f}; {time.strftime('%Y-%m-%d %H:%M')}")


if __name__ == "__main__":
    main()
