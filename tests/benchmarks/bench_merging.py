"""What merging an adapter changes: next tokens and their probabilities with the adapter merged and apart, in fp32 and bf16.

PYTHONPATH=tests python -m benchmarks.bench_merging BASE ADAPTER [--texts 40]

BASE and ADAPTER are folders (an epoch checkpoint of a warm-up is an adapter).
The texts are the repository's own documents, 128 tokens each.
Every way is compared with fp32 and the adapter apart: how often the most likely next token is the same, and the mean divergence of the
distributions in nats.
"""

import argparse
import copy
from contextlib import contextmanager

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from equipoise.modelling.adapter import load_adapter, merged, take_off
from helpers.places import REPOSITORY

LENGTH = 128


@contextmanager
def beside(base, adapter):
    """The base with its adapter apart."""
    model = load_adapter(base, adapter)
    try:
        yield model
    finally:
        take_off(model, base)


def compared(base, adapter, texts: torch.Tensor) -> list[tuple[str, float, float]]:
    """(way, share of positions with the same next token, mean divergence in nats) for fp32 merged, bf16 apart and bf16 merged.

    base: in fp32; texts: int64 [n, length].
    """
    bf16 = copy.deepcopy(base).to(torch.bfloat16)
    ways = [("fp32 apart", base, beside), ("fp32 merged", base, merged), ("bf16 apart", bf16, beside), ("bf16 merged", bf16, merged)]
    expected, found = None, []
    for name, model, how in ways:
        with torch.inference_mode(False), torch.no_grad(), how(model, adapter) as used:
            scores = torch.cat([used(row[None]).logits.float().log_softmax(-1) for row in texts])
        if expected is None:
            expected = scores
            continue
        same = (scores.argmax(-1) == expected.argmax(-1)).double().mean()
        divergence = (expected.exp() * (expected - scores)).sum(-1).double().mean()
        found.append((name, float(same), float(divergence)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("adapter")
    parser.add_argument("--texts", type=int, default=40)
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.base, trust_remote_code=False)
    words = "\n".join(path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "docs").glob("*.md")))
    tokens = torch.tensor(tokenizer(words).input_ids)
    texts = tokens[: len(tokens) // LENGTH * LENGTH].reshape(-1, LENGTH)[: options.texts]
    base = AutoModelForCausalLM.from_pretrained(options.base, dtype=torch.float32, trust_remote_code=False).eval().requires_grad_(False)
    for name, same, divergence in compared(base, options.adapter, texts):
        print(f"{name:12} same next token {same:.2%}, divergence {divergence:.2g} nats ({texts.numel():,} positions)")


if __name__ == "__main__":
    main()
