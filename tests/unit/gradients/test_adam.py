"""The Adam map in both forms, and moments by name from our checkpoints and from a stock HF Trainer's."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainingArguments

from equipoise.config import Lora, Model
from equipoise.errors import UserError
from equipoise.gradients.adam import Moments, adam_constants, load_moments, moments_identity
from equipoise.modelling.adapter import load_adapter, lora_parameters
from equipoise.modelling.base import load_base
from equipoise.modelling.checkpoint import swap_adapter
from helpers.base import SIZES, random_adapter, write_checkpoint

LORA = Lora(rank=4, alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])


def some_moments(numel=200, step=7):
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(numel, generator=generator) * 1e-4
    second = torch.rand(numel, generator=generator) * 1e-8
    return Moments({"w": first}, {"w": second}, step, 0.9, 0.999, 1e-8), torch.randn(3, numel, generator=generator) * 1e-3


def test_the_torch_form_is_the_step_that_torchs_adam_takes():
    moments, gradients = some_moments()
    found = adam_constants(moments, "torch", "cpu")["w"].apply(gradients)
    for row, gradient in enumerate(gradients.double()):
        parameter = torch.zeros(len(gradient), dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([parameter], lr=1.0, betas=(0.9, 0.999), eps=1e-8)
        state = {"step": torch.tensor(7.0), "exp_avg": moments.first["w"].double(), "exp_avg_sq": moments.second["w"].double()}
        optimizer.load_state_dict({"state": {0: state}, "param_groups": optimizer.state_dict()["param_groups"]})
        parameter.grad = gradient
        optimizer.step()
        np.testing.assert_allclose(found[row].numpy(), -parameter.detach().numpy(), rtol=2e-6, atol=1e-6)


def test_the_less_form_has_no_bias_correction_and_eps_inside_the_root():
    moments, gradients = some_moments()
    found = adam_constants(moments, "less", "cpu")["w"].apply(gradients).numpy()
    m, v, g = moments.first["w"].double().numpy(), moments.second["w"].double().numpy(), gradients.double().numpy()
    np.testing.assert_allclose(found, (0.9 * m + 0.1 * g) / np.sqrt(0.999 * v + 0.001 * g * g + 1e-8), rtol=2e-6, atol=1e-6)


@pytest.fixture
def base(tiny_base):
    return Model(name="tiny", base=str(tiny_base), precision="fp32", device="cpu")


def test_our_moments_are_read_by_name_and_refused_by_name(base, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "epoch-1"
    write_checkpoint(str(folder), base, LORA, 1)
    model = load_adapter(load_base(base, "fp32", "cpu"), folder)
    saved = load_file(folder / "moments.safetensors")
    found = load_moments(folder, model)
    assert found.step == 2
    assert all(torch.equal(found.first[name], saved[f"exp_avg.{name}"]) for name in lora_parameters(model))
    missing = sorted(saved)[0]
    save_file({name: tensor for name, tensor in saved.items() if name != missing}, folder / "moments.safetensors")
    with pytest.raises(UserError, match=f"no moment {missing}"):
        load_moments(folder, model)
    save_file(saved | {missing: saved[missing][:1].contiguous()}, folder / "moments.safetensors")
    with pytest.raises(UserError, match=rf"moment {missing} has shape \[1, "):
        load_moments(folder, model)
    save_file(saved | {"exp_avg.other": saved[missing].clone()}, folder / "moments.safetensors")
    with pytest.raises(UserError, match=r"moment exp_avg\.other is of no parameter"):
        load_moments(folder, model)
    (folder / "moments.safetensors").unlink()
    with pytest.raises(UserError, match="no Adam moments"):
        moments_identity(folder)


def test_another_adapters_checkpoint_is_not_swapped_in(base, tmp_path):
    write_checkpoint(str(tmp_path / "one"), base, LORA, 1)
    write_checkpoint(str(tmp_path / "two"), base, LORA.model_copy(update={"target_modules": ["q_proj"]}), 1)
    write_checkpoint(str(tmp_path / "three"), base, LORA.model_copy(update={"rank": 2}), 1)
    model = load_adapter(load_base(base, "fp32", "cpu"), tmp_path / "one")
    with pytest.raises(UserError, match=r"down_proj\.lora_A\.weight is missing"):
        swap_adapter(model, tmp_path / "two")
    with pytest.raises(UserError, match=r"lora_A.weight is \[2, "):
        swap_adapter(model, tmp_path / "three")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: {}, "an adapter without tensors"),
        (lambda saved: {f"other.{name}": tensor for name, tensor in saved.items()}, "is missing|is not in the model"),
        (lambda saved: dict(sorted(saved.items())[1:]), "is missing"),
        (lambda saved: saved | {"another.lora_A.weight": torch.ones(4, 4)}, r"another\.lora_A\.weight is not in the model"),
        (lambda saved: {name: tensor[:1].contiguous() for name, tensor in saved.items()}, r"says rank 4, its tensors \[1\]"),
        (None, "adapter_model.safetensors: no adapter"),
    ],
    ids=["without tensors", "renamed", "one gone", "one more", "cut", "cut off"],
)
def test_an_adapter_is_loaded_with_every_tensor_by_name_and_shape_or_not_at_all(base, tmp_path, change, message):
    from safetensors.torch import load_file, save_file

    write_checkpoint(str(tmp_path / "one"), base, LORA, 1)
    file = tmp_path / "one" / "adapter_model.safetensors"
    if change is None:
        file.write_bytes(file.read_bytes()[:100])
    else:
        save_file(change(load_file(file)), file)
    bare = load_base(base, "fp32", "cpu")
    with pytest.raises(UserError, match=message) as refused:
        load_adapter(bare, tmp_path / "one")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("rank", [10**9, -1, "4", [4], {"4": 4}, None])
def test_an_adapter_whose_configuration_says_another_rank_than_its_tensors_is_refused_before_room_is_made_for_it(base, tmp_path, rank):
    write_checkpoint(str(tmp_path / "one"), base, LORA, 1)
    said = tmp_path / "one" / "adapter_config.json"
    said.write_text(json.dumps(json.loads(said.read_text()) | {"r": rank}))
    with pytest.raises(UserError, match="its configuration says rank"):
        load_adapter(load_base(base, "fp32", "cpu"), tmp_path / "one")


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        ids = torch.arange(i, i + 6) % 50
        return {"input_ids": ids, "labels": ids}


def test_moments_of_a_stock_trainer_checkpoint_are_mapped_through_its_parameter_groups(tmp_path):
    torch.manual_seed(0)
    shape = AutoConfig.for_model("llama", vocab_size=50, **SIZES)
    model = random_adapter(AutoModelForCausalLM.from_config(shape), LORA, 0)
    options = {"max_steps": 3, "save_steps": 3, "per_device_train_batch_size": 2, "weight_decay": 0.1, "adam_beta2": 0.99}
    trainer = Trainer(model, TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], **options), train_dataset=Rows())
    trainer.train()
    folder = tmp_path / "checkpoint-3"
    found = load_moments(folder, model.eval())
    assert (found.step, found.beta1, found.beta2, found.eps) == (3, 0.9, 0.99, 1e-8)
    for name, parameter in lora_parameters(model).items():
        state = trainer.optimizer.state[parameter]
        assert torch.equal(found.first[name], state["exp_avg"])
        assert torch.equal(found.second[name], state["exp_avg_sq"])
    assert moments_identity(folder).keys() == {"optimizer.pt"}
    refuse_damaged_optimizers(folder, model)


def refuse_damaged_optimizers(folder, model):
    path = folder / "optimizer.pt"
    stock = torch.load(path, weights_only=True)
    last = stock["param_groups"][0]["params"][-1]
    name = list(lora_parameters(model))[-1]
    del stock["state"][last]["exp_avg_sq"]
    torch.save(stock, path)
    with pytest.raises(UserError, match=r"no moment exp_avg_sq\.base_model"):
        load_moments(folder, model)
    assert name.startswith("base_model")
    stock["param_groups"][0]["params"].pop()
    torch.save(stock, path)
    with pytest.raises(UserError, match="parameter groups of 11"):
        load_moments(folder, model)
    torch.save({"state": Fraction(1, 2), "param_groups": []}, path)
    with pytest.raises(UserError, match="no torch optimizer's state"):
        load_moments(folder, model)
