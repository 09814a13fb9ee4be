"""Which base fits which GPU: the plan's table, and the memory of bases in 4 bits, over several GPUs, and sharded."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from equipoise.config_file import parse_config, read_config
from equipoise.planning import memory
from equipoise.planning.architecture import KNOWN, from_config
from equipoise.planning.fit import BASES, SPREADS, fits
from equipoise.planning.hardware import GPUS
from helpers.experiment import changed
from helpers.places import REPOSITORY

WORK = ("training", "gradients", "evaluation")


@pytest.fixture(scope="module")
def llama():
    return read_config(REPOSITORY / "workflow" / "experiments" / "llama3-8b.yaml")


@pytest.fixture(scope="module")
def found(llama):
    return {(f.base, f.gpu, f.quantisation, f.checkpointing): f for f in fits(llama)}


def test_sizes_are_those_of_the_bases_that_stand_for_them():
    assert [round(KNOWN[name].parameters / 1e9, 1) for name in BASES.values()] == [8.0, 14.8, 32.8, 70.6]


def test_every_base_gpu_and_setting_has_a_row_and_what_fits_fits(found):
    assert len(found) == len(BASES) * len(GPUS) * 2 * 2
    for (_, gpu, quantisation, _), fit in found.items():
        for work in WORK:
            cell = getattr(fit, work)
            assert cell is None or (cell[0] in SPREADS and cell[1] <= GPUS[gpu].memory), fit
        assert quantisation == "none" or fit.training is None or fit.training[0] == 1


def test_a_smaller_base_more_memory_and_four_bits_never_take_more_gpus(found):
    many = 99

    def gpus(base, gpu, quantisation, work):
        cell = getattr(found[base, gpu, quantisation, True], work)
        return cell[0] if cell else many

    for work in WORK:
        for gpu in GPUS:
            for kind in ("none", "nf4"):
                counts = [gpus(base, gpu, kind, work) for base in BASES]
                assert counts == sorted(counts), (work, gpu, kind)
                assert all(gpus(base, "H200", kind, work) <= gpus(base, "H100", kind, work) for base in BASES)
        for base in BASES:
            assert work == "training" or gpus(base, "H100", "nf4", work) <= gpus(base, "H100", "none", work)
    assert gpus("8 B", "H100", "none", "training") == 1
    assert gpus("70 B", "H100", "none", "training") > 1
    assert gpus("70 B", "H100", "nf4", "training") == 1


def test_bytes_of_four_bits_are_those_that_bitsandbytes_keeps(tiny_base, tiny_config):
    """Of a base whose maps are whole blocks: weights, scales, scales of scales."""
    pytest.importorskip("bitsandbytes")
    from transformers import LlamaConfig, LlamaForCausalLM

    from equipoise.modelling.base import load_base
    from equipoise.modelling.quantised import is_in_four_bits

    folder = tiny_base.parent / f"{tiny_base.name}-wide"
    values = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 97}
    LlamaForCausalLM(LlamaConfig(**values)).save_pretrained(folder)
    model = tiny_config.model.model_copy(update={"base": str(folder), "quantisation": "nf4"})
    kept = 0
    for module in load_base(model, "bf16", "cpu").modules():
        if is_in_four_bits(module):
            state = module.weight.quant_state
            kept += sum(each.numel() * each.element_size() for each in (module.weight.data, state.absmax, state.state2.absmax))
    shape = from_config(json.loads((folder / "config.json").read_text()), "wide")
    maps = shape.layers * sum(i * o for i, o in shape.linears.values())
    assert kept == pytest.approx(memory.KEPT_BITS["nf4"] / 8 * maps, rel=2e-3)
    largest = max(i * o for i, o in shape.linears.values())
    assert memory.base(shape, 2, "nf4") == pytest.approx(kept + 2 * (shape.parameters - maps + largest), rel=1e-3)


def test_what_is_shared_out_is_divided(llama):
    shape = KNOWN["meta-llama/Meta-Llama-3-70B"]

    def peak(work, gpus):
        spread = {"processes": gpus, "sharding": "fsdp" if gpus > 1 else "none"}
        config = llama.model_copy(
            update={"training": llama.training.model_copy(update=spread), "jobs": llama.jobs.model_copy(update={"gpus": gpus})}
        )
        return memory.training(config, shape) if work == "training" else memory.gradients(config, shape, 2048)

    for work in ("training", "gradients"):
        whole, half, eighth = (peak(work, gpus) for gpus in (1, 2, 8))
        assert whole > half > eighth
        assert whole - half > memory.HEADROOM * shape.parameters * 0.9, "half of 2 bytes a weight"


def test_the_command_prints_the_table_or_json(tiny_values, tmp_path):
    from equipoise.commands.running import app

    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(changed(tiny_values, {"lora": {"rank": 128}})))
    parse_config(tiny_values)
    printed = CliRunner().invoke(app, ["plan", str(path), "--fit"])
    assert printed.exit_code == 0, printed.output
    assert all(f"{size} " in printed.output for size in BASES)
    assert "not measured" in printed.output
    values = json.loads(CliRunner().invoke(app, ["plan", str(path), "--fit", "--json"]).output)
    assert {row["base"] for row in values} == set(BASES)
