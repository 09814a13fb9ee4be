"""`training.sharding: fsdp`: two processes that hold half of everything each train what one process trains."""

import json
import multiprocessing
import os
import socket
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from equipoise.config import Lora, Model
from equipoise.config_file import parse_config
from equipoise.errors import UserError
from equipoise.layout import Run
from equipoise.modelling.adapter import attach_adapter
from equipoise.modelling.base import load_base
from equipoise.training.fine_tune import fine_tune
from equipoise.training.sharding import shard
from equipoise.training.trainer import loading_device
from equipoise.training.warm_up import warm_up
from helpers.families import FAMILIES, tiny_model
from helpers.selections import write_selection
from helpers.trainings import losses, prepared

RUN = Run("bids", 0, "0.2", 1, 0)
SHARDED = {"processes": 2, "sharding": "fsdp", "micro_batch_size": 2, "report_to": ["tensorboard"]}


def _child(rank, port, work, arguments, told):
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    try:
        told.put((rank, work(*arguments)))
    except BaseException:
        told.put((rank, traceback.format_exc()))
    finally:
        told.close()
        told.join_thread()
        os._exit(0)


def in_two(work, *arguments) -> list:
    """What `work` returns in each of two processes of a gloo group."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    children = [context.Process(target=_child, args=(rank, port, work, arguments, told)) for rank in range(2)]
    for child in children:
        child.start()
    results = dict(told.get(timeout=240) for _ in children)
    for child in children:
        child.join(60)
    return [results[0], results[1]]


def held(config):
    """Trains; which parameters are no DTensor, and the bytes of this process, of the whole, and of a plain copy."""
    from torch.distributed.tensor import DTensor

    from equipoise.training import sharding

    found, shard = {}, sharding.shard

    def looked_at(model, device):
        found["lay on"] = {each.device.type for each in model.parameters()}
        found["plain"] = sum(each.numel() * each.element_size() for each in model.parameters())
        shard(model, device)
        found["other"] = [name for name, each in model.named_parameters() if not isinstance(each, DTensor)]
        found["own"], found["whole"] = sharding.sharded_bytes(model)

    sharding.shard = looked_at
    warm_up(config)
    return found


@pytest.mark.slow
def test_two_that_hold_half_each_follow_the_curve_of_one_and_write_its_files(tiny_values, tmp_path):
    one, _ = prepared(tiny_values, tmp_path, "one", micro_batch_size=2, report_to=["tensorboard"])
    warm_up(one)
    two, _ = prepared(tiny_values, tmp_path, "two", **SHARDED)
    for found, place in zip(in_two(held, two), ("cpu", "meta"), strict=True):
        assert isinstance(found, dict), found
        assert found["lay on"] == {place}, "the first process alone reads the base"
        assert found["other"] == []
        assert found["whole"] == found["plain"]
        assert found["own"] * 2 == pytest.approx(found["whole"], rel=0.02)
    curves = [losses(Path(config.layout.checkpoint("x")).parent / "tensorboard") for config in (one, two)]
    assert [step for step, _ in curves[1]] == [step for step, _ in curves[0]] == list(range(1, 11))
    values = [[value for _, value in curve] for curve in curves]
    assert values[1] == pytest.approx(values[0], rel=1e-4)
    assert max(values[0]) - min(values[0]) > 0.2, "a flat curve would compare nothing"
    for epoch in (1, 2):
        folders = [Path(config.layout.checkpoint(epoch)) for config in (one, two)]
        assert len({tuple(sorted(path.name for path in folder.iterdir())) for folder in folders}) == 1
        states = [json.loads((folder / "state.json").read_text()) for folder in folders]
        assert states[0]["step"] == states[1]["step"]
        for file in ("adapter_model.safetensors", "moments.safetensors"):
            first, second = (load_file(folder / file) for folder in folders)
            assert first.keys() == second.keys()
            for name in first:
                assert torch.allclose(first[name], second[name], rtol=1e-2, atol=1e-4), name
    assert not Path(two.layout.checkpoint("trainer")).exists()


def spread(folders, precision, config):
    """What `looked_into` says of every base of `folders`, loaded as a training loads it and spread."""
    torch.distributed.init_process_group("gloo")
    return [looked_into(folder, precision, loading_device(config), sharded=True) for folder in folders]


def looked_into(folder, precision, device, sharded=False):
    """Of a base with a fresh adapter: whole parameters and their formats by name, whether the output layer is tied, logits [2, 9, v]."""
    model = attach_adapter(load_base(Model(name="some", base=str(folder)), precision, device), Lora(rank=2, alpha=4, dropout=0.0), 5)
    if sharded:
        shard(model.eval(), torch.device("cpu"))
    causal = model.get_base_model()
    tied = causal.get_input_embeddings().weight is causal.get_output_embeddings().weight
    values = {name: (each.full_tensor() if sharded else each).detach() for name, each in model.named_parameters()}
    formats = {name: (str(each.dtype), each.requires_grad) for name, each in model.named_parameters()}
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.arange(3, 21).view(2, 9)).logits
    return {name: each.float().numpy() for name, each in values.items()}, formats, tied, logits.float().numpy()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_the_first_process_reads_is_what_all_of_them_hold(precision, tiny_values, tmp_path):
    config = parse_config({**tiny_values, "training": tiny_values["training"] | SHARDED})
    folders = [tmp_path / name for name in ("llama", "gpt2", "falcon_alibi", "gemma3", "mixtral", "ministral3")]
    for folder in folders:
        tiny_model(FAMILIES[folder.name]).save_pretrained(folder)  # in fp32
    alone = [looked_into(folder, precision, "cpu") for folder in folders]
    assert {tied for _, _, tied, _ in alone} == {True, False}, "bases with and without an output layer of their own"
    for of_process in in_two(spread, folders, precision, config):
        assert isinstance(of_process, list), of_process
        for folder, (values, *rest, logits), expected in zip(folders, of_process, alone, strict=True):
            assert rest == [*expected[1:3]], folder.name
            assert {name for name in values if (values[name] != expected[0][name]).any()} == set(), folder.name
            np.testing.assert_allclose(logits, expected[3], rtol=1e-5, atol=1e-5, err_msg=folder.name)


def cut_off(config, step):
    from transformers import Trainer

    training_step = Trainer.training_step

    def stopping(self, *arguments, **named):
        if self.state.global_step == step:
            raise KeyboardInterrupt
        return training_step(self, *arguments, **named)

    Trainer.training_step = stopping
    try:
        warm_up(config)
    except KeyboardInterrupt:
        return "cut off"


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.safetensors")}


@pytest.mark.nightly
def test_a_sharded_training_that_was_cut_off_resumes_to_the_same_bytes_and_so_does_a_fine_tuning(tiny_values, tmp_path):
    values = {**tiny_values, "lora": tiny_values["lora"] | {"dropout": 0.1}, "model": tiny_values["model"] | {"precision": "bf16"}}
    whole, _ = prepared(values, tmp_path, "whole", **SHARDED)
    cut, _ = prepared(values, tmp_path, "cut", save_steps=3, **SHARDED)
    for config in (whole, cut):
        write_selection(config, "bids", 0, "0.2", [{"row": row, "rank": row} for row in range(8)])
    assert in_two(both, whole) == [None, None]
    assert in_two(cut_off, cut, 7) == ["cut off", "cut off"]
    assert [path.name for path in Path(cut.layout.checkpoint("trainer")).glob("checkpoint-*/whole")] == ["whole", "whole"]
    assert in_two(both, cut) == [None, None]
    for epoch in (1, 2):
        assert bytes_of(cut.layout.checkpoint(epoch)) == bytes_of(whole.layout.checkpoint(epoch)), epoch
    assert bytes_of(cut.layout.adapter(RUN)) == bytes_of(whole.layout.adapter(RUN))
    names = set(load_file(Path(cut.layout.adapter(RUN)) / "adapter_model.safetensors"))
    assert names == set(load_file(Path(cut.layout.checkpoint(1)) / "adapter_model.safetensors"))


def both(config):
    warm_up(config)
    fine_tune(config, RUN)


def test_sharding_needs_processes_and_a_whole_base(tiny_values):
    one = {**tiny_values, "training": tiny_values["training"] | {"sharding": "fsdp"}}
    with pytest.raises(UserError, match="sharding: fsdp spreads a training over processes"):
        parse_config(one)
    quantised = {**tiny_values, "training": tiny_values["training"] | SHARDED, "model": tiny_values["model"] | {"quantisation": "nf4"}}
    with pytest.raises(UserError, match="sharding: fsdp cannot spread a base in nf4"):
        parse_config(quantised)
