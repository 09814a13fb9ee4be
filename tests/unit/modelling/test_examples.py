"""Examples in arrays: what lists held, in four bytes a token; encoded in blocks, once for all processes of a training."""

from pathlib import Path

import numpy as np
import pytest

from equipoise.config_file import parse_config
from equipoise.data import encoding
from equipoise.data.encoding import encode_file, examples_digest
from equipoise.modelling.base import load_tokenizer
from equipoise.modelling.chat import Encoded
from equipoise.modelling.examples import gathered, open_examples
from equipoise.training import training_set
from helpers.trainings import prepared

LISTED = [
    Encoded([5, 6, 7, 8], 2),
    Encoded([5], 1),
    Encoded(list(range(9, 40)), 3, ((7, 9), (20, 30)), True),
    Encoded([1, 2, 3], 0),
]


def test_arrays_hold_what_lists_held_in_any_order_and_from_disk(tmp_path):
    made = gathered([LISTED[:1], [], LISTED[1:]])
    made.save(tmp_path / "whole", "mark")
    made[1:].take(np.array([2, 0])).save(tmp_path / "part", "mark")
    for examples, expected in (
        (made, LISTED),
        (made[1:3], LISTED[1:3]),
        (made.take(np.array([2, 0, 2])), [LISTED[2], LISTED[0], LISTED[2]]),
        (open_examples(tmp_path / "whole", "mark"), LISTED),
        (open_examples(tmp_path / "part", "mark"), [LISTED[3], LISTED[1]]),
    ):
        assert list(examples) == expected
        assert [each.cut for each in examples] == [each.cut for each in expected]
        assert examples.completions.tolist() == [each.completion_tokens for each in expected]
        assert examples_digest(examples) == examples_digest(expected)
    assert list(gathered([])) == []


def test_saved_ones_of_another_source_or_damaged_are_none(tmp_path):
    folder = tmp_path / "examples"
    assert open_examples(folder, "mark") is None
    gathered([LISTED]).save(folder, "mark")
    assert open_examples(folder, "other") is None
    bytes_held = (folder / "tokens.npy").read_bytes()
    (folder / "tokens.npy").write_bytes(bytes_held[:-1] + b"\1")
    assert open_examples(folder, "mark") is None
    gathered([LISTED]).save(folder, "mark")  # takes the place of the damaged one
    assert open_examples(folder, "mark") == LISTED


def test_a_token_takes_four_bytes():
    examples = gathered([[Encoded(list(range(1000)), 400)] for _ in range(50)])
    assert examples.nbytes < 1.02 * 4 * 50_000 + 100


def test_files_are_encoded_in_blocks_whatever_order_is_asked_for(tiny_values, tmp_path, monkeypatch):
    config, _ = prepared(tiny_values, tmp_path, "blocks")
    tokenizer, path = load_tokenizer(config.model), config.layout.pool
    whole = list(encode_file(path, tokenizer, 64))
    real, sizes = encoding.encode_rows, []

    def seen(rows, *others, **named):
        sizes.append(len(rows))
        return real(rows, *others, **named)

    monkeypatch.setattr(encoding, "encode_rows", seen)
    monkeypatch.setattr(encoding, "BLOCK", 5)
    assert encode_file(path, tokenizer, 64) == whole
    assert max(sizes) == 5
    assert sum(sizes) == len(whole)
    chosen = np.random.default_rng(0).permutation(len(whole))[:17]
    assert encode_file(path, tokenizer, 64, chosen=chosen) == [whole[row] for row in chosen]
    assert encode_file(path, tokenizer, 64, 3, 9, chosen=chosen) == [whole[row] for row in chosen[3:9]]
    assert encode_file(path, tokenizer, 64, 3, 9) == whole[3:9]
    with pytest.raises(IndexError):
        encode_file(path, tokenizer, 64, chosen=np.array([len(whole)]))


def test_processes_of_a_training_map_what_was_encoded_before_they_started(tiny_values, tmp_path, monkeypatch):
    """And a training that was killed encodes nothing again; other inputs do."""
    from equipoise.training.warm_up import _examples, share_warmup_examples, warm_up_fingerprint

    config, _ = prepared(tiny_values, tmp_path, "shared", micro_batch_size=2, processes=2)
    expected = list(_examples(config, 0))
    share_warmup_examples(config, 0)
    identity = warm_up_fingerprint(config, 0)
    scratch = Path(config.layout.checkpoint("trainer"))

    def never(*_, **__):
        raise AssertionError("encoded again")

    monkeypatch.setattr(encoding, "encode_rows", never)
    found = training_set.encoded_once(scratch, identity, never)
    assert found == expected
    assert isinstance(found._arrays["tokens"], np.memmap)
    share_warmup_examples(config, 0)
    other = parse_config(config.model_dump(mode="json") | {"seed": 5})
    assert warm_up_fingerprint(other) != identity
    with pytest.raises(AssertionError, match="encoded again"):
        share_warmup_examples(other, 0)
