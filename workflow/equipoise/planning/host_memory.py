"""Peak host memory of each stage, in bytes: what was measured at 135 M parameters on a CPU, extrapolated by tokens and shapes.

On a GPU a stage's host holds its libraries, the tokens and texts of its examples, and the largest tensor on its way to the device. On a
CPU it also holds what a GPU would: a training or evaluation `ON_CPU` times the plan's GPU memory, as freed memory is kept for reuse
(process.py). Stages that hold neither model nor texts of the pool are not counted.
"""

from equipoise.config import Experiment
from equipoise.planning.architecture import Architecture
from equipoise.planning.memory import WIDTH

PLAIN = 0.5e9  # interpreter, pyarrow, tokenizer: 0.47 GB measured
LIBRARIES = 0.7e9  # with torch, transformers, peft: 0.60 GB measured
DRIVER = 3e9  # of CUDA and its libraries, per process: assumed, not measured
STREAM = 0.25e9  # prepare_pool and decontaminate: batches and a row group of texts, whatever the pool's size
READ_ROW = 80  # bytes a row by which they know ids and conversations; with these, 0.79 GB were measured for a million rows (bench_pool.py)
NEAR_ROW = 4096  # with `pool.deduplicate: near`: a row's MinHash and its places in the index; assumed, not measured
ENCODED_TOKEN = 28  # bytes a token while encoding: a row group of text, growing arrays; 13 to 25 measured
ON_CPU = 2.2  # times the GPU's: 1.8 (trainings) to 2.2 (a fold of trainings and evaluations) measured
COLLECTS_ON_CPU = 1.0  # for rows and states, whose passes keep nothing for a step of an optimizer: 0.5 measured, in batches not quite full


def prepared(rows: float, near: bool) -> float:
    """prepare_pool and decontaminate, which hold no more of a pool than what tells its rows apart. near: whether near duplicates count."""
    return PLAIN + STREAM + rows * (READ_ROW + NEAR_ROW * near)


def with_model(
    config: Experiment,
    shape: Architecture,
    tokens: float,
    gpu_memory: float,
    processes: int = 1,
    moments: bool = False,
    collects: bool = False,
) -> float:
    """A stage that computes with the model, all processes of one job together.

    tokens: of the examples that it encodes; gpu_memory: of one process. moments: whether adapter and Adam's moments are gathered on the
    host to be written. collects: whether it computes gradients or states alone.
    """
    if config.model.device == "cpu":
        return processes * (LIBRARIES + (COLLECTS_ON_CPU if collects else ON_CPU) * gpu_memory) + ENCODED_TOKEN * tokens
    width = WIDTH[config.model.precision]
    largest = width * max(shape.vocabulary * shape.hidden, *(i * o for i, o in shape.linears.values()))
    read = width * shape.parameters if config.training.sharding == "fsdp" and processes > 1 else 0  # by the first, which spreads it
    written = 12 * shape.adapter_parameters(config.lora) if moments else 0
    examples = ENCODED_TOKEN * tokens  # by one process; all map what it has written
    return processes * (LIBRARIES + DRIVER + 2 * largest) + read + examples + 2 * written
