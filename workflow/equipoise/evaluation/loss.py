"""Held-out loss: the mean negative log-likelihood of an item's reference response, in nats a token (method.md, "Held-out loss")."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from equipoise.modelling.chat import IGNORED_LABEL, Encoded, pad, pad_token
from equipoise.progress import track

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from equipoise.evaluation.loss_items import LossItems
    from equipoise.evaluation.session import Session

OUTPUTS_AT_ONCE = 4096
"""Positions of a batch at which logits are made; they are in fp32, so that 4,096 of 128,000 tokens take 2 GiB."""


def measured_rows(session: "Session", items: "LossItems", suite: str, adapter: str | None) -> list[dict[str, Any]]:
    """An item a row, as `evaluate` writes them."""
    batch_size = session.config.suites[suite].batch_size
    with session.adapted(suite, adapter) as model:
        measured = losses(model, items.examples, batch_size, pad_token(session.tokenizer))
    rows = []
    for row, example, loss in zip(items.rows, items.examples, measured, strict=True):
        kept = {key: row[key] for key in ("task", "lm_eval_task", "doc_id", "content_hash", "prompt")}
        rows.append(kept | {"target": row["response"], "tokens": example.completion_tokens, "score": loss})
    return rows


def losses(
    model: "PreTrainedModel", examples: Sequence[Encoded], batch_size: int, pad_id: int, title: str = "held-out loss"
) -> list[float]:
    """Mean negative log-likelihood of each example's tokens with a loss, in nats, from logits in fp32 at their positions alone; in float64
    where the model's weights are. title: of the progress; none shown for an empty one.

    At most `batch_size` examples share a forward pass, long ones fewer; padded on the right, where none sees it.
    """
    import torch

    from equipoise.evaluation.language_model import output_in_fp32

    found = [0.0] * len(examples)
    model.eval()
    batches = list(_batches(examples, batch_size))
    double = model.get_output_embeddings().weight.dtype == torch.float64
    with torch.no_grad(), nullcontext() if double else output_in_fp32(model):
        for places, kept in track(batches, title, len(batches), "batches") if title else batches:
            batch = pad([examples[place] for place in places], pad_id)
            positions = torch.tensor(kept)
            logits = model(
                input_ids=batch["input_ids"].to(model.device), logits_to_keep=(positions - 1).to(model.device), use_cache=False
            ).logits
            logits = logits if double else logits.float()
            labels = batch["labels"][:, positions].to(model.device)
            for row, place in enumerate(places):
                own = labels[row] != IGNORED_LABEL
                scores = logits[row][own].log_softmax(-1).gather(1, labels[row][own][:, None])
                found[place] = -float(scores.double().mean())
    return found


def _batches(examples: Sequence[Encoded], batch_size: int) -> Iterator[tuple[list[int], list[int]]]:
    """Places of examples that share a pass, longest first, and the positions at which one of them has a loss."""
    places: list[int] = []
    kept: set[int] = set()
    for place in sorted(range(len(examples)), key=lambda each: (-len(examples[each].input_ids), each)):
        joined = kept | set(examples[place].labelled)
        if places and (len(places) == batch_size or (len(places) + 1) * len(joined) > OUTPUTS_AT_ONCE):
            yield places, sorted(kept)
            places, joined = [], set(examples[place].labelled)
        places, kept = [*places, place], joined
    if places:
        yield places, sorted(kept)
