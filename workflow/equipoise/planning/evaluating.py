"""What evaluating a run costs: prompts and answers of every item, decoded in batches, and references scored in one pass."""

from typing import TYPE_CHECKING

from equipoise.config import Lora, Suite
from equipoise.config_keys import UNQUANTISED
from equipoise.layout import Run
from equipoise.measures import LOSS
from equipoise.planning import flops, memory
from equipoise.planning.cost import TEXT_BYTES, Cost
from equipoise.planning.hardware import Speed
from equipoise.planning.sizes import Sizes
from equipoise.planning.workload import Items, longest_of
from equipoise.selectors import selector

if TYPE_CHECKING:
    import numpy as np

SECONDS_PER_LAYER = {
    False: 0.9e-3,
    True: 1.3e-3,
}  # processor time that starts one layer's kernels in a step of transformers; with adapters apart from their maps (bench_decoding.py)
VLLM_SEQUENCES = 256  # vLLM's default limit of sequences at a time
CHOICES = 4  # of a multiple-choice item: vLLM passes over the prompt for each, transformers once for all
CHOICE_TOKENS = 2  # of the right choice of an item that is scored: a letter and what stands before it


def evaluation_cost(sizes: Sizes, speed: Speed, run: Run, suite: str, part: int | str) -> Cost:
    """One part of a suite's evaluation of a run: generation seed, or held-out loss."""
    tuned = selector(run.selector).trains
    settings = sizes.config.suites[suite]
    kind = settings.quantisation or sizes.config.model.quantisation
    apart = tuned and kind != UNQUANTISED  # else adapters are merged, and nothing is left of them
    lora = sizes.config.lora if apart else None
    if part == LOSS.name:
        return sum((_measured(sizes, speed, lora, items) for items in sizes.items(suite)), Cost())
    width = memory.WIDTH[sizes.config.model.precision]
    launches = SECONDS_PER_LAYER[apart] * sizes.shape.layers if settings.backend == "hf" else 0.0  # vLLM replays them as one graph
    kept = memory.base(sizes.shape, width, kind)
    step = max(kept / speed.bandwidth, launches)
    whole = Cost()
    for items in sizes.items(suite):
        if items.answer:
            lengths = items.lengths(stops=tuned)
            answer = float(lengths.mean())
            work = flops.generation(sizes.shape, lora, items.items, items.prompt, answer)
            waiting = step * decoding_steps(items.items, lengths, settings)
        else:
            passes = items.items * (CHOICES if settings.backend == "vllm" else 1)
            work, waiting, answer = flops.likelihood(sizes.shape, lora, passes, items.prompt), 0.0, 0.0
        seconds = max(speed.seconds(work, sizes.config.model.precision), waiting)
        tokens = items.items * (items.prompt + answer)
        whole += Cost(tokens, work, seconds, TEXT_BYTES * tokens)
    return whole


def _measured(sizes: Sizes, speed: Speed, lora: Lora | None, items: Items) -> Cost:
    """One forward pass over prompts and reference responses, logits at the responses."""
    response = items.answer or CHOICE_TOKENS
    tokens = items.items * (items.prompt + response)
    work = flops.reference(sizes.shape, lora, items.items, items.prompt, response)
    return Cost(tokens, work, speed.seconds(work, sizes.config.model.precision), TEXT_BYTES * tokens)


def decoding_steps(items: int, lengths: "np.ndarray", suite: Suite) -> float:
    """Steps until `items` answers of these lengths are there: a batch lasts as long as its longest; vLLM fills places as they free."""
    import numpy as np

    if suite.backend == "vllm":
        at_once = min(items, VLLM_SEQUENCES)
        return (items - at_once) * float(np.mean(lengths)) / at_once + longest_of(at_once, lengths)[0]
    whole, rest = divmod(items, suite.batch_size)
    return whole * longest_of(suite.batch_size, lengths)[0] + (longest_of(rest, lengths)[0] if rest else 0.0)
