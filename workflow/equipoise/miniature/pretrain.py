"""Trains the shipped base model: `equipoise miniature pretrain --out workflow/equipoise/miniature/base` (about ten minutes on 2 cores).

Every step's batch is a function of (seed, step), so that a stopped run goes on from its last snapshot to the same place.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.errors import UserError
from equipoise.files import atomic_path
from equipoise.miniature.stream import PAD, documents, vocabulary
from equipoise.miniature.tokenizer import build_tokenizer
from equipoise.process import keep_freed_memory
from equipoise.progress import log, track

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

DOCUMENTS_PER_STEP = 320
"""Numbers of documents set aside for one step; more than a batch ever holds, so that steps never share one."""
SNAPSHOT_EVERY = 250


@dataclass(frozen=True)
class Pretraining:
    """Settings of the pretraining; `batch_size` rows of `row_length` tokens per step, `learning_rate` at its peak."""

    steps: int = 2600
    batch_size: int = 64
    row_length: int = 72
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    question_weight: float = 0.1
    initializer_range: float = 0.06
    seed: int = 0
    threads: int = 2


def base_config(vocabulary_size: int) -> dict:
    """Arguments of the base's LlamaConfig: 4 layers of width 128, 0.87 M parameters."""
    return {
        "vocab_size": vocabulary_size,
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 384,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "bos_token_id": None,
        "eos_token_id": 4,
    }


def batch(settings: Pretraining, step: int, ids: dict[str, int]) -> tuple[list[list[int]], list[list[float]]]:
    """Token ids and loss weights, each [batch_size, row_length], of a step: whole documents one after another, rows padded at the end.

    Words that nothing determines (the operands of an item) weigh `question_weight`, answers 1, padding 0.
    """
    rows: list[list[int]] = [[]]
    weights: list[list[float]] = [[]]
    for document in documents(settings.seed, step * DOCUMENTS_PER_STEP, (step + 1) * DOCUMENTS_PER_STEP):
        words = document.words
        if len(rows[-1]) + len(words) > settings.row_length:
            if len(rows) == settings.batch_size:
                break
            rows.append([])
            weights.append([])
        rows[-1] += [ids[word] for word in words]
        weights[-1] += [settings.question_weight] * document.answer + [1.0] * (len(words) - document.answer)
    gaps = [settings.row_length - len(row) for row in rows]
    return [row + [ids[PAD]] * n for row, n in zip(rows, gaps, strict=True)], [w + [0.0] * n for w, n in zip(weights, gaps, strict=True)]


def rate(settings: Pretraining, step: int) -> float:
    """Learning rate of a step: linear warm-up, then linear decay to a hundredth of the peak."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    left = (settings.steps - step) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * max(0.01, left)


def pretrain(out: str | Path, settings: Pretraining, work: str | Path) -> float:
    """Trains the base and writes it in bf16 with its tokenizer to `out`; snapshots for resuming lie in `work`. Returns the last loss."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    keep_freed_memory()
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    words = vocabulary()
    ids = {word: number for number, word in enumerate(words)}
    model = LlamaForCausalLM(LlamaConfig(**base_config(len(words)), initializer_range=settings.initializer_range)).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=settings.weight_decay, fused=True
    )
    first = _resume(Path(work), settings, model, optimizer)
    loss, recent = float("nan"), []
    for step in track(range(first, settings.steps), "pretraining", settings.steps - first, unit="steps"):
        for group in optimizer.param_groups:
            group["lr"] = rate(settings, step)
        loss = _step(model, optimizer, *map(torch.tensor, batch(settings, step, ids)))
        recent.append(loss)
        if (step + 1) % SNAPSHOT_EVERY == 0 or step + 1 == settings.steps:
            log(f"pretraining: step {step + 1:,}, loss {sum(recent) / len(recent):.4f}")
            recent = []
            _snapshot(Path(work), settings, step + 1, model, optimizer)
    Path(out).mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(str(out))
    build_tokenizer().save_pretrained(str(out))
    return loss


def _step(model: "PreTrainedModel", optimizer: "torch.optim.Optimizer", tokens: "torch.Tensor", weights: "torch.Tensor") -> float:
    import torch

    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1), reduction="none")
    weights = weights[:, 1:].reshape(-1)
    loss = (losses * weights).sum() / weights.sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def _snapshot(work: Path, settings: Pretraining, step: int, model: "PreTrainedModel", optimizer: "torch.optim.Optimizer") -> None:
    from safetensors.torch import save_file

    tensors = {}
    for name, parameter in model.named_parameters():
        state = optimizer.state[parameter]
        tensors |= {f"weight.{name}": parameter.detach(), f"exp_avg.{name}": state["exp_avg"], f"exp_avg_sq.{name}": state["exp_avg_sq"]}
    metadata = {"step": str(step), "settings": json.dumps(asdict(settings), sort_keys=True)}
    with atomic_path(work / "snapshot.safetensors") as part:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, str(part), metadata=metadata)


def _resume(work: Path, settings: Pretraining, model: "PreTrainedModel", optimizer: "torch.optim.Optimizer") -> int:
    """Loads the snapshot of the same settings and returns the next step; 0 where there is none."""
    import torch
    from safetensors import safe_open

    path = work / "snapshot.safetensors"
    if not path.exists():
        return 0
    with safe_open(str(path), framework="pt") as snapshot:
        metadata = snapshot.metadata()
        if metadata["settings"] != json.dumps(asdict(settings), sort_keys=True):
            raise UserError(f"{path}: snapshot of a pretraining with other settings; delete it or give another --work folder")
        step = int(metadata["step"])
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(snapshot.get_tensor(f"weight.{name}"))
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(step)),
                    "exp_avg": snapshot.get_tensor(f"exp_avg.{name}"),
                    "exp_avg_sq": snapshot.get_tensor(f"exp_avg_sq.{name}"),
                }
    log(f"pretraining: goes on at step {step:,}")
    return step
