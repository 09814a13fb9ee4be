"""The plan's formulas against torch's own counters, and its jobs against the experiment's."""

import json
from contextlib import contextmanager

import pytest

from equipoise.config import Lora
from equipoise.config_file import parse_config
from equipoise.errors import UserError
from equipoise.modelling.targets import carrying, shortest_names
from equipoise.planning import flops, memory
from equipoise.planning.architecture import KNOWN, from_config
from equipoise.planning.evaluating import CHOICES
from equipoise.planning.plan import plan
from equipoise.planning.workload import assumed_lengths, pool_load

BATCH, LENGTH = 3, 24


@contextmanager
def counting():
    """torch's FLOP counter, with attention in plain matrix products and `addmm_` taught: it knows neither the CPU's fused one nor this."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    def addmm(_, left, right, *rest, **options):
        return 2 * left[0] * left[1] * right[1]

    known = {torch.ops.aten.addmm_.default: addmm}
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=known) as counter:
        yield counter


@pytest.fixture
def tiny_shape(tiny_base):
    return from_config(json.loads((tiny_base / "config.json").read_text()), "tiny")


@pytest.fixture
def tiny_adapted(tiny_config):
    from equipoise.modelling.adapter import attach_adapter
    from equipoise.modelling.base import load_base

    return attach_adapter(load_base(tiny_config.model, "fp32", "cpu"), tiny_config.lora, 0)


def test_parameters_are_those_of_the_model(tiny_shape, tiny_adapted, tiny_config):
    counts = [0, 0]
    for name, parameter in tiny_adapted.named_parameters():
        counts["lora_" in name] += parameter.numel()
    assert [tiny_shape.parameters, tiny_shape.adapter_parameters(tiny_config.lora)] == counts


def test_known_models_have_the_parameters_their_cards_give():
    sizes = {name.split("/")[1]: shape.parameters for name, shape in KNOWN.items()}
    assert sizes["Meta-Llama-3-8B"] == 8_030_261_248
    assert sizes["Mistral-7B-v0.3"] == 7_248_023_552
    assert sizes["SmolLM2-135M"] == 134_515_008
    for name in ("meta-llama/Meta-Llama-3-8B", "mistralai/Mistral-7B-v0.3"):
        assert KNOWN[name].adapter_parameters(Lora()) == 109_051_904  # method: warm-up


@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_operations_are_those_torch_counts(tiny_shape, tiny_adapted, tiny_config, checkpointing):
    import torch

    model = tiny_adapted.train()
    if checkpointing:
        model.get_base_model().gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    ids = torch.randint(0, tiny_shape.vocabulary, (BATCH, LENGTH))
    with counting() as counter:
        model(input_ids=ids, labels=ids).loss.backward()
    load = flops.Load(BATCH * LENGTH, BATCH * LENGTH**2, BATCH * LENGTH)
    expected = flops.training(tiny_shape, tiny_config.lora, load, checkpointing)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradient_operations_are_those_torch_counts(tiny_shape, tiny_adapted, tiny_config, checkpointing):
    from equipoise.gradients.engine import Engine
    from equipoise.gradients.projection import Identity
    from equipoise.gradients.rows import LoraRows
    from equipoise.modelling.chat import Encoded

    engine = Engine(tiny_adapted.eval(), checkpointing)
    maker = LoraRows(Identity({name: a * b for name, (a, b) in engine.capture.shapes.items()}))
    examples = [Encoded(list(range(LENGTH)), 20 - i) for i in range(BATCH)]
    with counting() as counter:
        engine.run(examples, maker)
    load = flops.Load(BATCH * LENGTH, BATCH * LENGTH**2, sum(example.completion_tokens for example in examples))
    expected = flops.gradients(tiny_shape, tiny_config.lora, load, checkpointing)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.05)


def test_generation_operations_are_those_torch_counts(tiny_shape, tiny_adapted, tiny_config):
    import torch

    answer = 10
    ids = torch.full((BATCH, LENGTH), 8)
    with counting() as counter, torch.no_grad():
        made = tiny_adapted.eval().generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=answer,
            min_new_tokens=answer,
            do_sample=False,
            use_cache=True,
        )
    assert made.shape[1] == LENGTH + answer
    # the last token made is never fed back
    expected = flops.generation(tiny_shape, tiny_config.lora, BATCH, LENGTH, answer - 1) + BATCH * flops.head(tiny_shape)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.05)


def test_likelihood_operations_are_those_torch_counts(tiny_adapted, tiny_shape, tiny_config):
    """Four choices of one token each: transformers' backend passes over a prompt once."""
    from lm_eval.api.instance import Instance

    from equipoise.evaluation.language_model import LanguageModel
    from equipoise.modelling.base import load_tokenizer

    model = LanguageModel(tiny_adapted.eval(), load_tokenizer(tiny_config.model), BATCH)
    prompts = [" ".join([f"w{i}", *["w1"] * (LENGTH - 2)]) for i in range(BATCH)]  # and BOS
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=(prompt, f" w{choice}"), idx=choice)
        for prompt in prompts
        for choice in range(CHOICES)
    ]
    with counting() as counter:
        answers = model.loglikelihood(requests)
    assert len({value for value, _ in answers}) == BATCH * CHOICES
    expected = flops.likelihood(tiny_shape, tiny_config.lora, BATCH, LENGTH)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.05)


def test_attribution_operations_are_those_torch_counts():
    """The assembly itself over two epochs, its products done by torch."""
    import numpy as np
    import torch

    from equipoise.attribution.products import assemble_chunks

    rows, columns, dimension = 1500, 12, 64

    class Counted(np.ndarray):
        def __matmul__(self, other):
            return (torch.from_numpy(np.asarray(self)) @ torch.from_numpy(np.asarray(other))).numpy()

    class Epoch:
        targets, residual = np.ones((columns, dimension), np.float32), 0.0

        def read(self, start, stop, buffer):
            return np.ones((stop - start, dimension), np.float32).view(Counted), np.ones(stop - start, bool), None

    with counting() as counter:
        made = list(assemble_chunks([Epoch(), Epoch()], 0, rows))
    assert sum(len(values) for _, values, _ in made) == rows
    assert counter.get_total_flops() == pytest.approx(flops.attribution(rows, columns, 2 * dimension), rel=0.05)


def test_kept_activations_are_those_torch_saves():
    """Bytes kept a token by a layer that is not the first, in bf16 with dropout, as the difference of two depths."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    lora = Lora(rank=4, dropout=0.1)
    kept = {}
    for layers in (2, 3):
        values = {
            "vocab_size": 64,
            "hidden_size": 64,
            "intermediate_size": 160,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        }
        base = LlamaForCausalLM(LlamaConfig(**values)).to(torch.bfloat16).requires_grad_(False)
        base.config.use_cache = False
        targets = shortest_names(carrying(base, lora), base)
        model = get_peft_model(base, LoraConfig(r=4, lora_dropout=0.1, target_modules=targets)).train()
        fixed = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
        storages = {}
        ids = torch.randint(0, 64, (4, 256))

        def keep(tensor, fixed=fixed, storages=storages):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in fixed:
                storages[storage.data_ptr()] = storage
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
            model(input_ids=ids)
        kept[layers] = sum(storage.nbytes() for storage in storages.values()) / ids.numel()
    shape = from_config({**values, "num_hidden_layers": 1}, "tiny")
    # torch's CPU dropout keeps its mask in the input's fp32, the CUDA one in one byte
    expected = memory.kept_by_layer(shape, 2) + memory.kept_by_adapters(shape, lora, 2, mask=4)
    assert kept[3] - kept[2] == pytest.approx(expected, rel=0.05)


def test_padding_of_random_micro_batches_is_the_expected_one(tiny_config):
    import numpy as np

    load = pool_load(tiny_config, rows=1000, mean_tokens=12)
    rng = np.random.default_rng(0)
    longest = rng.choice(load.lengths, (200_000, 4)).max(axis=1)
    assert load.trained(4).tokens == pytest.approx(1000 * longest.mean(), rel=0.01)
    assert load.trained(4).squares == pytest.approx(1000 * (longest.astype(float) ** 2).mean(), rel=0.02)
    assert load.trained(1).tokens == pytest.approx(load.tokens)
    assert load.tokens <= load.collected(256).tokens < load.trained(4).tokens


def test_assumed_lengths_have_the_mean_asked_for():
    assert assumed_lengths(300, 10**6).mean() == pytest.approx(300, rel=0.01)
    assert assumed_lengths(300, 256).max() == 256


def test_an_unprepared_pool_is_counted_or_assumed_and_said(tiny_config, tiny_values, tmp_path):
    made = pool_load(tiny_config)
    assert made.rows == 40
    assert "counted in its files" in made.assumptions[0]
    values = {**tiny_values, "pool": {"files": [str(tmp_path / "not-there.jsonl")]}}
    assert "assumed" in pool_load(parse_config(values)).assumptions[0]
    values = {**tiny_values, "pool": {"dataset": "openbmb/UltraInteract_sft"}}
    assert pool_load(parse_config(values)).rows == 288_579
    values["pool"]["limit"] = 2000
    assert pool_load(parse_config(values)).rows == 2000
    assert pool_load(parse_config(values), rows=700, mean_tokens=10).rows == 700


def test_a_prepared_pool_is_planned_with_its_own_lengths(tiny_config):
    from equipoise.data.pool import prepare_pool
    from equipoise.store.manifest import read_manifest

    prepare_pool(tiny_config)
    layout = tiny_config.layout
    made = pool_load(tiny_config)
    assert made.tokens == read_manifest(layout.pool_manifest, "pool")["tokens"]
    assert made.assumptions == []
    stages = {stage.name: stage for stage in plan(tiny_config).stages}
    assert stages["prepare_pool"].jobs_left == 0
    assert stages["warm_up"].jobs_left == 1
    assert stages["warm_up"].cost.tokens == 2 * made.tokens


def test_a_faster_gpu_and_a_higher_mfu_need_fewer_hours(tiny_config):
    hours = [plan(tiny_config, gpu, mfu).cost.gpu_seconds for gpu, mfu in (("a100", 0.4), ("h100", 0.4), ("H100", 0.5))]
    assert hours[0] > hours[1] > hours[2]


def test_what_does_not_fit_is_said_with_the_key_to_change(tiny_values):
    values = {**tiny_values, "model": {"name": "big", "base": "meta-llama/Llama-2-13b-hf", "precision": "fp32"}, "lora": {}}
    warnings = plan(parse_config(values)).warnings
    assert any("warm_up needs" in text and "training.micro_batch_size" in text for text in warnings)
    assert any("collect_pool_gradients needs" in text and "gradients.token_budget" in text for text in warnings)


def test_validation_examples_longer_than_a_batch_need_more_memory(tiny_values):
    def peaks(longest):
        config = parse_config({**tiny_values, "targets": {"size": 4, "max_length": longest}})
        stages = {stage.name: stage.memory for stage in plan(config).stages}
        return stages["collect_pool_gradients"], stages["collect_target_gradients"]

    budget = tiny_values["gradients"]["token_budget"]
    assert peaks(budget)[0] == peaks(budget)[1] == peaks(4 * budget)[0] < peaks(4 * budget)[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"gpu_name": "B300"}, "A100, H100, H200"), ({"mfu": 0.0}, "0.4"), ({"mfu": 1.5}, "0.4"), ({"mean_tokens": 1.0}, "mean-tokens")],
)
def test_bad_options_are_one_line(tiny_config, options, message):
    with pytest.raises(UserError, match=message):
        plan(tiny_config, **options)


def test_an_unknown_base_is_one_line(tiny_values):
    values = {**tiny_values, "model": {"name": "x", "base": "nobody/nothing"}}
    with pytest.raises(UserError, match="not at hand"):
        plan(parse_config(values))


def test_the_command_prints_a_table_or_json(tiny_values, tmp_path):
    import yaml
    from typer.testing import CliRunner

    from equipoise.commands.running import app

    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tiny_values))
    runner = CliRunner()
    table = runner.invoke(app, ["plan", str(path), "--gpu", "H200", "--mfu", "0.3"])
    assert table.exit_code == 0, table.output
    assert "GPU-hours" in table.output
    made = runner.invoke(app, ["plan", str(path), "--json", "--rows", "5000"])
    assert json.loads(made.output)["stages"]["warm_up"]["jobs"] == 1
