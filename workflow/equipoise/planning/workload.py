"""How much text there is: rows and lengths of the pool, items of the benchmarks; measured where files exist, else assumed (and said)."""

import json
import math
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

from equipoise.benchmarks import BENCHMARKS
from equipoise.benchmarks.benchmark import Items as KnownItems
from equipoise.config import Experiment, Suite, Task
from equipoise.config_keys import LARGEST
from equipoise.conversation.sources import DataFile, find_files, read_rows
from equipoise.data.shards import plan_batches
from equipoise.errors import UserError
from equipoise.layout import CHUNK_ROWS
from equipoise.planning.flops import Load
from equipoise.store.artefact import is_made

if TYPE_CHECKING:
    import numpy as np

KNOWN_ROWS = {"openbmb/UltraInteract_sft": 288_579}
ASSUMED_ROWS = 100_000
ASSUMED_TOKENS = 600  # UltraInteract: 687 MB of JSON in 288,579 rows, about 4 bytes per token
COMPLETION_SHARE = 0.6
SPREAD = 0.6  # standard deviation of assumed lengths over their mean (lognormal)
SAMPLE = 8192


@dataclass(frozen=True)
class PoolLoad:
    """The pool: number of rows, and lengths of a sample of them (all of them once the pool is prepared)."""

    rows: int
    lengths: "np.ndarray"
    completion: "np.ndarray"
    assumptions: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> float:
        """Tokens of the whole pool, without padding."""
        return float(self.lengths.mean()) * self.rows

    def trained(self, micro_batch: int) -> Load:
        """The whole pool once, padded to the longest of random micro-batches: expected maxima."""
        longest, squared = longest_of(micro_batch, self.lengths)
        return Load(longest, squared, float(self.completion.mean())) * self.rows

    def collected(self, token_budget: int) -> Load:
        """The whole pool once, padded as the gradient stages' batch plan does it."""
        padded = squares = 0
        for start in range(0, len(self.lengths), CHUNK_ROWS):
            chunk = self.lengths[start : start + CHUNK_ROWS].tolist()
            for batch in plan_batches(chunk, token_budget):
                longest = max(chunk[i] for i in batch)
                padded += longest * len(batch)
                squares += longest**2 * len(batch)
        return Load(padded, squares, float(self.completion.sum())) * (self.rows / len(self.lengths))


def pool_load(config: Experiment, rows: int | None = None, mean_tokens: float | None = None) -> PoolLoad:
    """The pool's load: exact once it is prepared, else from rows and mean tokens (given, counted from the files, or assumed)."""
    prepared = is_made(config, "pool") if rows is None and mean_tokens is None else None
    if prepared is not None:
        import pyarrow.parquet as pq

        table = pq.read_table(prepared.only_file(), columns=["tokens", "completion_tokens"])
        return PoolLoad(table.num_rows, table["tokens"].to_numpy(), table["completion_tokens"].to_numpy())
    counted, characters = _files(config)
    said = []
    if rows is None:
        rows, source = _rows(config, counted)
        said.append(f"pool: {rows:,} rows ({source})")
    else:
        rows = min(rows, config.pool.limit or rows)
        said.append(f"pool: {rows:,} rows (given)")
    if mean_tokens is not None:
        said.append(f"pool: {mean_tokens:g} tokens per row on average (given)")
    elif counted:
        mean_tokens = characters / counted / 4
        said.append(f"pool: {mean_tokens:.0f} tokens per row on average (4 bytes of the files per token)")
    else:
        mean_tokens = ASSUMED_TOKENS
        said.append(f"pool: {mean_tokens:g} tokens per row on average (assumed; --mean-tokens sets it)")
    if not 1 <= rows <= LARGEST or not 2 <= mean_tokens <= LARGEST:
        raise UserError(f"--rows {rows}, --mean-tokens {mean_tokens:g}: cannot be planned; write at least 1 row and 2 tokens")
    lengths = assumed_lengths(mean_tokens, config.model.max_length)
    said.append(f"pool: cut to model.max_length, rows have {lengths.mean():.0f} tokens on average")
    said.append(f"pool: {COMPLETION_SHARE:.0%} of the tokens are the response's, lengths are lognormal with spread {SPREAD:g} (assumed)")
    return PoolLoad(rows, lengths, (COMPLETION_SHARE * lengths).astype("int64").clip(1), said)


def longest_of(draws: int, lengths: "np.ndarray") -> tuple[float, float]:
    """Expected maximum of `draws` of the lengths, and of its square: from the order statistics."""
    import numpy as np

    ordered = np.sort(lengths).astype(float)
    weight = np.diff((np.arange(len(ordered) + 1) / len(ordered)) ** draws)
    return float(weight @ ordered), float(weight @ ordered**2)


@lru_cache(maxsize=64)
def assumed_lengths(mean: float, longest: int) -> "np.ndarray":
    """Quantiles of a lognormal distribution of lengths, int64 [SAMPLE], in an order that mixes them, cut to [2, longest]."""
    import numpy as np

    sigma = math.sqrt(math.log(1 + SPREAD**2))
    normal = NormalDist(math.log(mean) - sigma**2 / 2, sigma)
    ordered = np.array([math.exp(normal.inv_cdf((i + 0.5) / SAMPLE)) for i in range(SAMPLE)])
    step = 5167  # coprime to SAMPLE: every 1,024 in a row hold short and long ones alike
    return ordered.round().astype("int64").clip(2, longest)[(np.arange(SAMPLE) * step) % SAMPLE]


def _files(config: Experiment) -> tuple[int, int]:
    """Rows and bytes of the pool's files, or zeros when one of them is missing or cannot be read."""
    try:
        counts = [_rows_and_bytes(file) for file in find_files(config.pool.files)]
    except UserError:
        return 0, 0
    return sum(rows for rows, _ in counts), sum(size for _, size in counts)


def _rows_and_bytes(file: DataFile) -> tuple[int, int]:
    """Rows of a file, and about their bytes as JSON."""
    if file.path.suffix == ".parquet":
        import pyarrow.parquet as pq

        metadata = pq.ParquetFile(file.path).metadata
        return metadata.num_rows, sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if file.path.suffix == ".jsonl":
        with open(file.path, "rb") as lines:
            return sum(1 for line in lines if line.strip()), file.path.stat().st_size
    sizes = [len(json.dumps(row.value, ensure_ascii=False, default=str)) for row in read_rows(file)]
    return len(sizes), sum(sizes)


def _rows(config: Experiment, counted: int) -> tuple[int, str]:
    limit = config.pool.limit
    if counted:
        rows, source = counted, "counted in its files"
    elif config.pool.dataset in KNOWN_ROWS:
        rows, source = KNOWN_ROWS[config.pool.dataset], f"known of {config.pool.dataset}"
    else:
        rows, source = ASSUMED_ROWS, "assumed; --rows sets it"
    return (limit, "pool.limit") if limit and limit < rows else (rows, source)


class Items(KnownItems):
    """What one evaluation of a task runs through."""

    def lengths(self, stops: bool) -> "np.ndarray":
        """Tokens of answers: around the mean and up to the cap; all at the cap of a model that never stops."""
        import numpy as np

        return assumed_lengths(self.answer, self.cap) if stops else np.full(1, self.cap)


def _own_items(config: Experiment, task: Task) -> int:
    """Items of a task that is measured on its own files: rows of its test files, or those of its files that are not drawn; 0 where they
    cannot be counted, or are lm-eval's."""
    if task.lm_eval_tasks or not task.files:
        return 0
    try:
        rows = sum(_rows_and_bytes(file)[0] for file in find_files(task.test_files or task.files))
    except (UserError, OSError):
        return 0
    return rows if task.test_files else max(0, rows - config.targets.size)


def items_of(config: Experiment, task: Task, suite: Suite) -> Items:
    """What one evaluation of a task runs through: the hold-out taken away, limits applied."""
    known = BENCHMARKS[task.benchmark].items
    left = max(1, _own_items(config, task) or known.items - known.held_out_each * config.targets.size)
    items = min(left, suite.limit * known.leaves) if suite.limit else left
    cap = suite.max_new_tokens if suite.max_new_tokens and known.answer else known.cap
    return Items(items, known.leaves, min(known.prompt, config.model.max_length), min(known.answer, cap), cap)
