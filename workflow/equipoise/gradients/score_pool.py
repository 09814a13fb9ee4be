"""Stage score_pool: losses of the pool's responses under the untuned base, by forward passes alone, for selectors that ask for them.

A column of `selectors.SCORED` is a store of its own beside pool.parquet, of the form of gradient stores without gradients
(store/gradients.py): `loss` holds it. Chunks that are there are kept.
"""

from pathlib import Path

from equipoise.config import Experiment
from equipoise.data.encoding import encode_file
from equipoise.determinants import determinants
from equipoise.gradients.engine import Engine
from equipoise.gradients.loop import Collection, collect
from equipoise.layout import shard_label
from equipoise.modelling.adapter import attach_adapter
from equipoise.modelling.base import base_identity, load_base, load_tokenizer, resolve_device
from equipoise.modelling.chat import Encoded
from equipoise.modelling.examples import gathered
from equipoise.selectors import ALONE
from equipoise.store.artefact import open_artefact, publish
from equipoise.store.gradients import listed_arrays
from equipoise.store.manifest import fingerprint

FORMAT = 1


def score_pool(config: Experiment, column: str, shard: int) -> None:
    """Writes the losses of one shard's responses, in nats a token; column: with the prompt (`base_loss`) or without (`base_loss_alone`)."""
    layout, pool = config.layout, open_artefact(config, "pool")
    start, stop = pool["shards"][shard]
    tokenizer, settings = load_tokenizer(config.model), config.gradients
    examples = encode_file(pool.only_file(), tokenizer, config.model.max_length, start, stop, last_turn=config.training.last_turn)
    if column == ALONE:
        examples = gathered([without_prompt(example)] for example in examples)
    determined = {"format": FORMAT, "config": determinants(config, "score_pool"), "base": base_identity(config.model)}
    mark = fingerprint({**determined, "column": column})
    attributes = {"settings": mark, "estimator": None, "side": "pool", "epoch": 0, "scaled": False}
    base = load_base(config.model, settings.precision, resolve_device(config.model.device), None, True)
    fresh = attach_adapter(base, config.lora, config.seed).eval()  # B = 0: it changes nothing
    manifest, store = layout.pool_scores_manifest(column, shard_label(shard)), layout.pool_scores(column)
    Path(manifest).unlink(missing_ok=True)
    title = f"pool shard {shard} {column}"
    collection = Collection(store, start, pool["rows"], attributes, (), settings.token_budget, title)
    records = collect(collection, examples, Engine(fresh), None)
    publish(
        config,
        "pool_scores",
        {"column": column, "shard": shard_label(shard)},
        arrays=listed_arrays(manifest, store, records),
        **attributes,
        rows=[start, stop],
        fingerprint=fingerprint([record["fingerprint"] for record in records]),
        digest=fingerprint([record["digest"] for record in records]),
    )


def without_prompt(example: Encoded) -> Encoded:
    """The tokens with a loss alone, behind the one before the first of them (the end of the turn's header), which predicts it."""
    labelled = example.labelled
    if not labelled:
        return example
    tokens = [example.input_ids[position] for position in (labelled[0] - 1, *labelled)]
    return Encoded(tokens, 1)
