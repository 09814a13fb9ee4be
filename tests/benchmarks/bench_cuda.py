"""The gradient engine on a CUDA machine, without any download: Llama-3-8B from its config with random bf16 weights.

python tests/benchmarks/bench_cuda.py [--runs 5] [--examples 128] [--token-budget 16384]

LoRA r=128 on q, k, v, o; examples of about 500 tokens, half of them the completion; Adam map and sketch to 8,192, store on disk.
Prints examples/s, the ratio to a plain forward + backward of the unmodified PEFT model on the same batches (goal: at most 1.1), peak
memory, and whether GPU and CPU project equal gradients to equal bytes. `--device cpu --tiny` tries the script on a tiny model.
"""

import argparse
import shutil
import statistics
import tempfile
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from equipoise.config import Lora
from equipoise.data.shards import plan_batches
from equipoise.gradients.adam import Moments, adam_constants
from equipoise.gradients.engine import Engine
from equipoise.gradients.loop import Collection, collect
from equipoise.gradients.projection import Rademacher, Sketch
from equipoise.gradients.rows import LoraRows
from equipoise.modelling.adapter import attach_adapter, lora_parameters
from equipoise.modelling.chat import Encoded, pad

LLAMA_3_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
}
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 512}


def random_model(shape: dict, rank: int, device: torch.device):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            base = LlamaForCausalLM(LlamaConfig(**shape)).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
    model = attach_adapter(base, Lora(rank=rank, alpha=4 * rank), 0).to(device).eval()
    for parameter in lora_parameters(model).values():
        parameter.data.normal_(0, 0.02)
    return model


def timed(work, device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def peak(device: torch.device) -> str:
    return f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device.type == "cuda" else "not measured on a CPU"


def plain(model, examples: list[Encoded], batches: list[list[int]]) -> None:
    for parameter in lora_parameters(model).values():
        parameter.requires_grad_(True)
    for batch in batches:
        padded = {name: tensor.to(model.device) for name, tensor in pad([examples[i] for i in batch], 0).items()}
        with torch.autocast(model.device.type, torch.bfloat16):
            model(**padded).loss.backward()
    model.zero_grad(set_to_none=True)
    for parameter in lora_parameters(model).values():
        parameter.requires_grad_(False)


def same_bytes(device: torch.device, dimension: int) -> None:
    """Projects equal gradients here and on the CPU."""
    gradient = torch.randn(5, 300_000, generator=torch.Generator().manual_seed(0))
    for projector in (Sketch({"w": 300_000}, dimension, 0, repeats=2), Rademacher({"w": 300_000}, 256, 0)):
        found = []
        for place in (torch.device("cpu"), device):
            rows = torch.zeros(5, projector.dimension, dtype=torch.float64, device=place)
            projector.add(rows, "w", gradient.to(place))
            found.append(projector.finish(rows.cpu().numpy()).tobytes())
        print(f"{type(projector).__name__}: CPU and {device} give {'equal' if found[0] == found[1] else 'DIFFERENT'} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--token-budget", type=int, default=16384)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("torch sees no GPU here: not measured")
        return
    device = torch.device(options.device)
    rank, dimension, length = (4, 512, 50) if options.tiny else (128, 8192, 500)
    same_bytes(device, dimension)
    model = random_model(TINY if options.tiny else LLAMA_3_8B, rank, device)
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(length * 4 // 5, length * 6 // 5, (options.examples,), generator=generator).tolist()
    examples = [Encoded(torch.randint(0, model.config.vocab_size, (n,), generator=generator).tolist(), n // 2) for n in lengths]
    batches = plan_batches(lengths, options.token_budget)
    engine = Engine(model)
    shapes = {name: a * b for name, (a, b) in engine.capture.shapes.items()}
    zeros, small = ({name: torch.full((numel,), value) for name, numel in shapes.items()} for value in (0.0, 1e-13))
    constants = adam_constants(Moments(zeros, small, 100, 0.9, 0.999, 1e-8), "less", device)
    maker = LoraRows(Sketch(shapes, dimension, 0), constants)

    def ours() -> None:
        folder = tempfile.mkdtemp()
        attributes = {"settings": "bench", "estimator": "less", "side": "pool", "epoch": 1, "scaled": False}
        collect(Collection(f"{folder}/store", 0, len(examples), attributes, (), options.token_budget), examples, engine, maker)
        shutil.rmtree(folder)

    works = {"plain": lambda: plain(model, examples, batches), "ours": ours}
    memory, taken = {}, {name: [] for name in works}
    for name, work in works.items():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        work()
        memory[name] = peak(device)
    for _ in range(options.runs):
        for name, work in works.items():
            taken[name].append(timed(work, device))
    median = {name: statistics.median(times) for name, times in taken.items()}
    print(f"{options.examples} examples, {sum(lengths):,} tokens, {len(batches)} batches, p = {sum(shapes.values()):,}")
    for name, value in median.items():
        print(f"{name:6} {value:8.2f} s  {options.examples / value:7.1f} examples/s  peak memory {memory[name]}")
    print(f"ours / plain {median['ours'] / median['plain']:.2f}  (goal: at most 1.1)")


if __name__ == "__main__":
    main()
