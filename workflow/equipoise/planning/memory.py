"""Peak GPU memory and disk of each kind of work, in bytes, from the shapes alone.

Activations are counted by what the backward pass keeps of one token in one layer: with z bytes per number (2 in bf16, 4 in fp32)

    norms      8 h                 their inputs in fp32
    attention  z (2 q + 2 k) + 4 heads
    MLP        3 z i               gate, up, and the gate after its activation
    training   sum over adapted maps of (1 + z) in + z r    dropout's mask and result, the adapter's middle
    gradients  z h + z q + z r (adapted maps)               inputs of q, k, v and of o

A base over several GPUs (`jobs.gpus`) and a sharded training divide what lies in layers; one sharded layer, or embeddings and output layer,
are put together twice at a time. The test holds the training count to torch's saved tensors. Allocator fragmentation and CUDA's own memory
come on top: `HEADROOM`.
"""

from equipoise.config import Experiment, Lora
from equipoise.config_keys import EIGHT_BITS, FOUR_BITS, UNQUANTISED
from equipoise.planning.architecture import Architecture

HEADROOM = 1.10
WIDTH = {"bf16": 2, "fp32": 4}
LOGIT_SLICE = 1 << 27  # numbers of logits the gradient engine holds at once on a GPU
KEPT_BITS = {FOUR_BITS: 4.127, EIGHT_BITS: 8.0}
"""Of a weight: nf4 with a scale of 8 bits for every 64 and one of 32 for every 256 of those."""
GRADIENT_SLICE = 1 << 26  # numbers of one layer's per-example gradients it holds at once on a GPU


def base(shape: Architecture, width: int, quantisation: str = UNQUANTISED) -> float:
    """Bytes of the base's weights: linear maps as they are kept, embeddings, norms and output layer whole; of a map kept in 4 bits the one
    that computes lies whole beside them."""
    if quantisation == UNQUANTISED:
        return width * shape.parameters
    maps = shape.layers * sum(i * o for i, o in shape.linears.values())
    largest = max(i * o for i, o in shape.linears.values()) if quantisation == FOUR_BITS else 0
    return KEPT_BITS[quantisation] / 8 * maps + width * (shape.parameters - maps + largest)


def kept_by_layer(shape: Architecture, width: int) -> float:
    """Bytes per token that norms, attention and MLP of one layer keep for the backward pass."""
    return 8 * shape.hidden + width * 2 * (shape.query_width + shape.kv_width) + 4 * shape.heads + 3 * width * shape.intermediate


def kept_by_adapters(shape: Architecture, lora: Lora, width: int, mask: int = 1) -> float:
    """Bytes per token that one layer's adapters keep while training; mask: bytes of one number of dropout's mask."""
    per_input = (mask + width) if lora.dropout else width
    return sum(per_input * i + width * lora.rank for i, _ in shape.adapted(lora).values())


def training(config: Experiment, shape: Architecture) -> float:
    """Warm-up or fine-tuning, one process: weights, adapter with gradients and Adam's moments, activations of a longest micro-batch."""
    width = WIDTH[config.model.precision]
    tokens = config.training.micro_batch_size * config.model.max_length
    p = shape.adapter_parameters(config.lora)
    layer = kept_by_layer(shape, width) + kept_by_adapters(shape, config.lora, width)
    boundary = width * shape.hidden
    kept = layer + shape.layers * boundary if config.training.activation_checkpointing else shape.layers * layer
    logits = (width + 12) * shape.vocabulary  # logits, their fp32 copy, log-probabilities, gradient
    working = tokens * (kept + logits)
    if config.training.sharding == "fsdp":
        gathered = 2 * width * max(sum(i * o for i, o in shape.linears.values()), 2 * shape.vocabulary * shape.hidden)
        return HEADROOM * ((base(shape, width) + 16 * p) / config.training.processes + gathered + working)
    buckets = 4 * p if config.training.processes > 1 else 0
    return HEADROOM * (base(shape, width, config.model.quantisation) + 16 * p + buckets + working)


def gradients(config: Experiment, shape: Architecture, longest: int) -> float:
    """Collection of gradients of examples of up to `longest` tokens: weights, moments and signs, activations of a full batch, slices of
    logits and of gradients."""
    width = WIDTH[config.gradients.precision]
    tokens = max(config.gradients.token_budget, longest)
    p = shape.adapter_parameters(config.lora)
    layer = kept_by_layer(shape, width) + width * (shape.hidden + shape.query_width + len(shape.adapted(config.lora)) * config.lora.rank)
    boundary = width * shape.hidden
    kept = layer + shape.layers * boundary if config.gradients.activation_checkpointing else shape.layers * layer
    signs = config.gradients.projection.repeats * p if config.gradients.projection.kind == "sketch" else 0
    slices = 8 * LOGIT_SLICE + 24 * GRADIENT_SLICE
    spread = base(shape, width, config.model.quantisation) + tokens * kept
    return HEADROOM * (spread / config.jobs.gpus + (4 + 8) * p + signs + tokens * boundary + slices)


def evaluation(config: Experiment, shape: Architecture, batch: int, length: float, quantisation: str = UNQUANTISED) -> float:
    """One batch of `batch` sequences of `length` tokens: weights, key-value cache, one layer at work, logits."""
    width = WIDTH[config.model.precision]
    cache = shape.layers * 2 * shape.kv_width * width
    at_work = width * (4 * shape.hidden + 3 * shape.intermediate)
    logits = (width + 8) * shape.vocabulary
    adapter = 4 * shape.adapter_parameters(config.lora)
    if quantisation == UNQUANTISED:  # the base's own weights stay beside the merged ones
        adapter += shape.layers * width * sum(i * o for i, o in shape.adapted(config.lora).values())
    spread = base(shape, width, quantisation) + adapter + batch * length * cache
    return HEADROOM * (spread / config.jobs.gpus + batch * (length * at_work + logits))
