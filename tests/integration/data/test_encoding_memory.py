"""What a process takes while it encodes is what the plan counts for a token (planning/host_memory.py)."""

import json
import subprocess
import sys

from equipoise.planning.host_memory import ENCODED_TOKEN

ROWS, WORDS = 16 * 1024, 80
CHILD = """
import json, sys
from equipoise.process import keep_freed_memory

keep_freed_memory()
from equipoise.config import Model
from equipoise.data.encoding import encode_file
from equipoise.modelling.base import load_tokenizer

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

path, base = sys.argv[1:]
tokenizer = load_tokenizer(Model(name="tiny", base=base))
encode_file(path, tokenizer, 2048, 0, 8)  # what is loaded once
before = peak()
examples = encode_file(path, tokenizer, 2048)
grown = peak() - before
print(json.dumps({"grown": grown, "kept": examples.nbytes, "tokens": sum(len(each.input_ids) for each in examples)}))
"""


def text(row: int) -> str:
    """Half of a row's words; each is a token, and takes three to four characters."""
    return " ".join(f"w{(7 * row + place * place) % 50}" for place in range(WORDS // 2))


def test_encoding_takes_the_bytes_a_token_that_the_plan_counts(tiny_base, tmp_path):
    """At its peak, libraries left out: no more, and at least a third of them. Lists of Python numbers would take 84."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"prompt": [text(row) for row in range(ROWS)], "response": [text(row + 3) for row in range(ROWS)]})
    pq.write_table(table, tmp_path / "pool.parquet")  # one row group, as prepare_pool writes so many rows
    command = [sys.executable, "-c", CHILD, str(tmp_path / "pool.parquet"), str(tiny_base)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["tokens"] > ROWS * WORDS
    assert ENCODED_TOKEN / 3 <= said["grown"] / said["tokens"] <= ENCODED_TOKEN, said
    assert 4 <= said["kept"] / said["tokens"] < 4.5, said
