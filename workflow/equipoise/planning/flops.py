"""Floating-point operations of each kind of work, from the shapes alone; matrix products only, 2 per multiply-add.

Symbols: h hidden, q and k widths of queries and keys, i intermediate, v vocabulary, r rank, L layers; one token, sequence length T.

    linear    2 (2 h q + 2 h k + 3 h i)       the frozen linear maps of one layer
    adapter   2 r sum(in + out)               the adapter's maps of one layer
    attention 4 T q                           scores and their products, over all T positions (a causal kernel may do half)
    head      2 h v

Training, forward: L (linear + adapter + attention) + head. Backward: frozen maps pass gradients on (1 x linear, 1 x head), adapters also
get their own (2 x adapter), attention has four products for two (2 x). The first layer's q, k, v pass nothing on. Activation checkpointing
runs the layers forward once more, but for the last map of each (down_proj), whose result is not kept.
Gradients of examples: the same, but the head, forth and back, at completion tokens alone; per-example outer products cost what an
adapter's own gradient does.
`tests/unit/planning/test_formulas.py` holds all of them to torch's counter.
"""

from dataclasses import dataclass

from equipoise.config import Lora
from equipoise.planning.architecture import Architecture


@dataclass(frozen=True)
class Load:
    """Sequences as they run, padding included: tokens, the sum of squared lengths, and tokens with a loss."""

    tokens: float
    squares: float
    completion: float

    def __mul__(self, times: float) -> "Load":
        return Load(self.tokens * times, self.squares * times, self.completion * times)


def linear(shape: Architecture) -> int:
    """Frozen linear maps of one layer, one token, forward."""
    return 2 * sum(i * o for i, o in shape.linears.values())


def adapter(shape: Architecture, lora: Lora) -> int:
    """Adapter of one layer, one token, forward."""
    return 2 * lora.rank * sum(i + o for i, o in shape.adapted(lora).values())


def layers_forward(shape: Architecture, lora: Lora | None, load: Load) -> float:
    """All layers, forward; lora: none for the bare base."""
    token = linear(shape) + (adapter(shape, lora) if lora else 0)
    return shape.layers * (token * load.tokens + 4 * shape.query_width * load.squares)


def layers_backward(shape: Architecture, lora: Lora, load: Load) -> float:
    """All layers, backward: gradients of activations, and of the adapter."""
    token = shape.layers * (linear(shape) + 2 * adapter(shape, lora))
    return (token - _not_passed_on(shape, lora)) * load.tokens + shape.layers * 8 * shape.query_width * load.squares


def _not_passed_on(shape: Architecture, lora: Lora) -> int:
    """What the first layer's q, k and v save, whose input needs no gradient."""
    adapted = shape.adapted(lora)
    names = ("q_proj", "k_proj", "v_proj")
    return sum(2 * i * o for name, (i, o) in shape.linears.items() if name in names) + sum(
        2 * lora.rank * i for name, (i, _) in adapted.items() if name in names
    )


def head(shape: Architecture) -> int:
    """Output layer, one position, forward."""
    return 2 * shape.hidden * shape.vocabulary


def layers_again(shape: Architecture, lora: Lora, load: Load) -> float:
    """What activation checkpointing recomputes: all layers, each without its last map."""
    return layers_forward(shape, lora, load) - shape.layers * 2 * shape.intermediate * shape.hidden * load.tokens


def training(shape: Architecture, lora: Lora, load: Load, checkpointing: bool = False) -> float:
    """One pass of training over `load`."""
    again = layers_again(shape, lora, load) if checkpointing else 0.0
    return again + layers_forward(shape, lora, load) + layers_backward(shape, lora, load) + 2 * head(shape) * load.tokens


def gradients(shape: Architecture, lora: Lora, load: Load, checkpointing: bool = False) -> float:
    """Per-example gradients of `load`, before projection."""
    again = layers_again(shape, lora, load) if checkpointing else 0.0
    return again + layers_forward(shape, lora, load) + layers_backward(shape, lora, load) + 2 * head(shape) * load.completion


def generation(shape: Architecture, lora: Lora | None, prompts: float, prompt: float, answer: float) -> float:
    """`prompts` prompts of `prompt` tokens answered with `answer` tokens each; logits at generated positions alone."""
    squares = prompt**2 + answer * (prompt + answer / 2)
    return prompts * (layers_forward(shape, lora, Load(prompt + answer, squares, 0)) + head(shape) * answer)


def likelihood(shape: Architecture, lora: Lora | None, prompts: float, prompt: float) -> float:
    """`prompts` prompts scored in one forward pass, logits at the one position where the choices stand."""
    return prompts * (layers_forward(shape, lora, Load(prompt, prompt**2, 0)) + head(shape))


def scored(shape: Architecture, lora: Lora | None, load: Load) -> float:
    """`load` scored in forward passes, logits at its tokens with a loss."""
    return layers_forward(shape, lora, load) + head(shape) * load.completion


def reference(shape: Architecture, lora: Lora | None, items: float, prompt: float, response: float) -> float:
    """`items` reference responses scored in one forward pass each, logits at their tokens."""
    length = prompt + response
    return items * (layers_forward(shape, lora, Load(length, length**2, 0)) + head(shape) * response)


def attribution(rows: int, columns: int, dimension: int) -> float:
    """Cosines of one epoch's rows with all columns."""
    return 2.0 * rows * columns * dimension
