"""Speed of the gradient engine, as ratios to baselines of the same run. `python tests/benchmarks/bench_gradients.py [--runs 5]`

Two models: a random 27 M-parameter Llama (hidden 512, 8 layers, vocabulary 8,192, LoRA r=32 on q, k, v, o; 256 examples of 40-160
tokens, half of each the completion; sketch to 8,192) and the miniature's base (r=8; 20-50 tokens; sketch to 1,024). CPU, fp32, equal
threads, medians of alternating runs.

plain       unmodified PEFT model, eval mode, LoRA gradients on, model(input_ids, attention_mask, labels).loss.backward(), our batches
ours        whole collection: forward, backward, per-example gradients, Adam map, sketch, store on disk
bare        ours without projection and store (Adam map by torch operations)
loop        one example at a time, concatenated gradients, Adam map; no projection
dense       projection of 16 such rows by +-1 matrices regenerated in blocks; timed once on 16 rows, extrapolated to all
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from equipoise.process import keep_freed_memory

keep_freed_memory()

import torch  # noqa: E402
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM  # noqa: E402

from equipoise.config import Lora  # noqa: E402
from equipoise.data.shards import plan_batches  # noqa: E402
from equipoise.gradients.adam import Constants, Moments, adam_constants  # noqa: E402
from equipoise.gradients.engine import Engine  # noqa: E402
from equipoise.gradients.loop import Collection, collect  # noqa: E402
from equipoise.gradients.projection import Sketch  # noqa: E402
from equipoise.gradients.rows import LoraRows, outer_products  # noqa: E402
from equipoise.modelling.adapter import attach_adapter, lora_parameters  # noqa: E402
from equipoise.modelling.chat import Encoded, pad  # noqa: E402

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]
DENSE_ROWS, DENSE_BLOCK = 16, 4096
MINIATURE = Path(__file__).resolve().parents[2] / "workflow/equipoise/miniature/base"


class Setting:
    """A model with an adapter, its moments, examples and their batches."""

    def __init__(self, base, rank: int, examples: int, shortest: int, longest: int, budget: int, dimension: int):
        self.model = attach_adapter(base.eval().requires_grad_(False), Lora(rank=rank, alpha=2 * rank, target_modules=TARGETS), 0).eval()
        self.parameters = lora_parameters(self.model)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters.values():
            parameter.data.normal_(0, 0.05, generator=generator)
        lengths = torch.randint(shortest, longest + 1, (examples,), generator=generator).tolist()
        vocabulary = base.config.vocab_size
        self.examples = [Encoded(torch.randint(0, vocabulary, (n,), generator=generator).tolist(), n // 2) for n in lengths]
        self.budget, self.batches = budget, plan_batches(lengths, budget)
        first = {name: torch.randn(p.shape, generator=generator) * 1e-4 for name, p in self.parameters.items()}
        second = {name: torch.rand(p.shape, generator=generator) * 1e-8 for name, p in self.parameters.items()}
        self.constants = adam_constants(Moments(first, second, 100, 0.9, 0.999, 1e-8), "less", "cpu")
        self.sketch = Sketch({name: p.numel() for name, p in self.parameters.items()}, dimension, 0)
        self.whole = Constants(
            *(torch.cat([getattr(self.constants[name], side) for name in self.parameters]) for side in ("first", "second")), 0.1, 0.001, 0.0
        )

    def train_adapter(self, on: bool) -> None:
        for parameter in self.parameters.values():
            parameter.requires_grad_(on)


def plain(setting: Setting) -> None:
    setting.train_adapter(True)
    for batch in setting.batches:
        setting.model(**pad([setting.examples[i] for i in batch], 0)).loss.backward()
    setting.model.zero_grad(set_to_none=True)
    setting.train_adapter(False)


def ours(setting: Setting) -> None:
    folder = tempfile.mkdtemp()
    try:
        maker = LoraRows(setting.sketch, setting.constants)
        attributes = {"settings": "bench", "estimator": "less", "side": "pool", "epoch": 1, "scaled": False}
        collection = Collection(f"{folder}/store", 0, len(setting.examples), attributes, (), setting.budget)
        collect(collection, setting.examples, Engine(setting.model), maker)
    finally:
        shutil.rmtree(folder)


class BareRows(LoraRows):
    """Per-example gradients and their Adam map, thrown away."""

    def _add(self, name, left, right):
        step = max(1, (1 << 21) // (left.shape[2] * right.shape[2]))
        for start in range(0, len(left), step):
            gradient = outer_products(left[start : start + step], right[start : start + step])
            self._adam[name].apply(gradient.flatten(1))


def bare(setting: Setting) -> None:
    engine, maker = Engine(setting.model), BareRows(setting.sketch, setting.constants)
    for batch in setting.batches:
        engine.run([setting.examples[i] for i in batch], maker)


def loop(setting: Setting) -> list[torch.Tensor]:
    setting.train_adapter(True)
    rows = []
    for example in setting.examples:
        setting.model(**pad([example], 0)).loss.backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in setting.parameters.values()])
        setting.model.zero_grad(set_to_none=True)
        rows = [*rows[-DENSE_ROWS + 1 :], setting.whole.apply(gradient)]
    setting.train_adapter(False)
    return rows


def dense(rows: torch.Tensor, dimension: int) -> torch.Tensor:
    """[n, p] by +-1 matrices of `DENSE_BLOCK` rows, each made anew."""
    total = torch.zeros(len(rows), dimension)
    matrix = torch.empty(DENSE_BLOCK, dimension)
    for start in range(0, rows.shape[1], DENSE_BLOCK):
        block = rows[:, start : start + DENSE_BLOCK]
        matrix.bernoulli_(0.5).mul_(2).sub_(1)
        total += block @ matrix[: block.shape[1]]
    return total


CLOCK = {"now": time.perf_counter}


def seconds(work: Callable[[], object]) -> float:
    start = CLOCK["now"]()
    work()
    return CLOCK["now"]() - start


def alternate(works: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median seconds of each, in alternating runs after one run of each that does not count."""
    for work in works.values():
        work()
    taken = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            taken[name].append(seconds(work))
    return {name: statistics.median(times) for name, times in taken.items()}


def measure_model(title: str, setting: Setting, runs: int, with_dense: bool) -> None:
    examples, tokens = len(setting.examples), sum(len(example.input_ids) for example in setting.examples)
    p = sum(parameter.numel() for parameter in setting.parameters.values())
    print(f"\n{title}: {examples} examples, {tokens} tokens in {len(setting.batches)} batches, p = {p:,}, k = {setting.sketch.dimension:,}")
    median = alternate({name: lambda f=f: f(setting) for name, f in (("plain", plain), ("ours", ours), ("bare", bare))}, runs)
    median |= alternate({"loop": lambda: loop(setting), "ours again": lambda: ours(setting)}, min(runs, 3))
    for name, value in median.items():
        print(f"  {name:12} {value:8.3f} s  {examples / value:8.1f} examples/s")
    print(f"  ours / plain                       {median['ours'] / median['plain']:6.2f}  (goal: at most 1.1)")
    print(f"  bare / plain                       {median['bare'] / median['plain']:6.2f}")
    print(f"  loop without projection / bare     {median['loop'] / median['ours again'] * median['ours'] / median['bare']:6.2f}")
    print(f"  loop without projection / ours     {median['loop'] / median['ours again']:6.2f}")
    if with_dense:
        rows = torch.stack(loop(setting)[-DENSE_ROWS:])
        one = seconds(lambda: dense(rows, setting.sketch.dimension))
        whole = median["loop"] + one * examples / DENSE_ROWS
        print(f"  dense        {one:8.3f} s for {DENSE_ROWS} rows, once; extrapolated to {examples}: loop with it {whole:.1f} s")
        print(f"  loop with dense projection / ours  {whole / median['ours again']:6.1f}  (extrapolated)")


def measure_projection(setting: Setting, runs: int, with_dense: bool) -> None:
    """The sketch alone against a copy of the same bytes and against the dense map, at the setting's p and k."""
    generator = torch.Generator().manual_seed(1)
    gradients = {name: torch.randn(DENSE_ROWS, p.numel(), generator=generator) for name, p in setting.parameters.items()}
    copies = {name: torch.empty_like(gradient) for name, gradient in gradients.items()}
    rows = torch.zeros(DENSE_ROWS, setting.sketch.dimension, dtype=torch.float64)

    def sketch():
        for name, gradient in gradients.items():
            setting.sketch.add(rows, name, gradient)

    def copy():
        for name, gradient in gradients.items():
            copies[name].copy_(gradient)

    median = alternate({"sketch": sketch, "copy": copy}, 4 * runs)
    size = sum(gradient.numel() * 4 for gradient in gradients.values()) / 1e9
    speed = {name: size / median[name] for name in median}
    print(f"\nprojection of {DENSE_ROWS} rows, {size:.3f} GB: sketch {speed['sketch']:.1f} GB/s, plain copy {speed['copy']:.1f} GB/s")
    print(f"  sketch's share of a copy's bandwidth {median['copy'] / median['sketch']:6.2f}  (goal: at least 0.33)")
    if with_dense:
        one = seconds(lambda: dense(torch.cat(list(gradients.values()), dim=1), setting.sketch.dimension))
        print(f"  dense Rademacher / sketch          {one / median['sketch']:8.0f}  (goal: at least 300; dense timed once, {one:.1f} s)")


def begun(parser: argparse.ArgumentParser, runs: int) -> argparse.Namespace:
    """The command line's options with those of every benchmark of alternating runs, set and printed. runs: how many, if not said."""
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-time", action="store_true", help="processor seconds, for a busy machine; leaves out waiting for the disk")
    options = parser.parse_args()
    if options.cpu_time:
        CLOCK["now"] = time.process_time
    torch.set_num_threads(options.threads)
    clock = "processor seconds" if options.cpu_time else "seconds"
    print(f"{options.threads} threads, {options.runs} alternating runs, medians of {clock}")
    return options


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--only", choices=["llama", "miniature"])
    parser.add_argument("--without-dense", action="store_true", help="leave out the minutes of dense projection")
    options = begun(parser, runs=5)
    if options.only != "miniature":
        torch.manual_seed(0)
        shape = {"hidden_size": 512, "intermediate_size": 1152, "num_hidden_layers": 8, "num_attention_heads": 8, "vocab_size": 8192}
        base = LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=True))
        setting = Setting(base, 32, options.examples, 40, 160, 2048, 8192)
        millions = base.num_parameters() / 1e6
        measure_projection(setting, options.runs, not options.without_dense)
        measure_model(f"random Llama, {millions:.1f} M parameters", setting, options.runs, not options.without_dense)
    if options.only != "llama":
        base = AutoModelForCausalLM.from_pretrained(MINIATURE)
        measure_model(
            "the miniature's base", Setting(base, 8, options.examples, 20, 50, 4096, 1024), options.runs, not options.without_dense
        )


if __name__ == "__main__":
    main()
