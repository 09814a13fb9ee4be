"""The gradient stages, on a random Llama with real checkpoints and real stores."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from equipoise.data.encoding import encode_file
from equipoise.gradients.audit_gradients import audit
from equipoise.gradients.collect import collect_pool_gradients, collect_pool_states, collect_target_gradients, collect_target_states
from equipoise.modelling.adapter import load_adapter, lora_parameters
from equipoise.modelling.base import load_base, load_tokenizer
from equipoise.modelling.chat import pad
from equipoise.store.gradients import GradientReader
from equipoise.store.verify import verify
from helpers.artefacts import publish_anew
from helpers.gradient_experiment import make_experiment


def layout_of(config):
    return config.layout


def reference_gradients(config, epoch, examples):
    """One example at a time through the unmodified PEFT model: float64 [n, p], parameters sorted by name."""
    model = load_adapter(load_base(config.model, "fp32", "cpu"), layout_of(config).checkpoint(epoch))
    parameters = list(lora_parameters(model).values())
    for parameter in parameters:
        parameter.requires_grad_(True)
    rows = []
    for example in examples:
        found = torch.autograd.grad(model(**pad([example], 0)).loss, parameters)
        rows.append(torch.cat([gradient.flatten() for gradient in found]).double().numpy())
    return np.stack(rows), parameters


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_target_rows_are_the_gradients_of_one_example_at_a_time(tmp_path):
    config = make_experiment(tmp_path, gradients={"projection": {"kind": "identity"}})
    layout = layout_of(config)
    collect_target_gradients(config, [1], ["alpha"])
    examples = encode_file(layout.target("alpha"), load_tokenizer(config.model), config.model.max_length)
    expected, _ = reference_gradients(config, 1, examples)
    found = GradientReader(layout.target_gradients(1, "alpha")).read(0, 3)
    assert np.abs(unit(expected) - found.directions).max() < 5e-4
    np.testing.assert_allclose(found.norm, np.linalg.norm(expected, axis=1), rtol=1e-5)
    assert found.tokens.tolist() == [example.completion_tokens for example in examples]


def test_pool_rows_are_mapped_by_adams_moments_and_flagged_rows_are_nan(tmp_path):
    config = make_experiment(tmp_path, gradients={"projection": {"kind": "identity"}})
    layout = layout_of(config)
    collect_pool_gradients(config, [2], 0)
    rows = GradientReader(layout.pool_gradients(2)).read(0, 20)
    assert rows.status.tolist() == [1 if i == 4 else 0 for i in range(20)]
    assert np.isnan(rows.directions[4]).all()
    assert np.isnan(rows.norm[4])
    examples = encode_file(layout.pool, load_tokenizer(config.model), config.model.max_length)
    valid = [i for i in range(20) if i != 4]
    gradients, parameters = reference_gradients(config, 2, [examples[i] for i in valid])
    from safetensors.torch import load_file

    saved = load_file(f"{layout.checkpoint(2)}/moments.safetensors")
    names = sorted(name.removeprefix("exp_avg.") for name in saved if name.startswith("exp_avg."))
    first = np.concatenate([saved[f"exp_avg.{name}"].double().numpy().ravel() for name in names])
    second = np.concatenate([saved[f"exp_avg_sq.{name}"].double().numpy().ravel() for name in names])
    assert len(parameters) == len(names)
    mapped = (0.9 * first + 0.1 * gradients) / np.sqrt(0.999 * second + 0.001 * gradients**2 + 1e-8)
    assert np.abs(unit(mapped) - rows.directions[valid]).max() < 5e-4
    np.testing.assert_allclose(rows.norm[valid], np.linalg.norm(mapped, axis=1), rtol=1e-5)


def test_states_ride_along_in_the_last_epoch_only(tmp_path):
    config = make_experiment(tmp_path)
    layout = layout_of(config)
    collect_pool_gradients(config, [1, 2], 0)
    assert GradientReader(layout.pool_gradients(1)).states == ()
    reader = GradientReader(layout.pool_gradients(2))
    model = load_adapter(load_base(config.model, "fp32", "cpu"), layout.checkpoint(2))
    for row, example in enumerate(encode_file(layout.pool, load_tokenizer(config.model), config.model.max_length)[:4]):
        hidden = (
            model(input_ids=torch.tensor([example.input_ids]), output_hidden_states=True).hidden_states[-1][0].detach().double().numpy()
        )
        weights = np.arange(1, len(hidden) + 1)
        expected = {"last_token": hidden[-1:], "position_weighted": (weights[:, None] * hidden).sum(axis=0, keepdims=True)}
        for kind, state in expected.items():
            np.testing.assert_allclose(reader.read_states(row, row + 1, kind), unit(state), atol=5e-4)


def test_states_by_forward_passes_alone_are_those_that_ride_along(tmp_path):
    config = make_experiment(tmp_path)
    layout = layout_of(config)
    collect_pool_gradients(config, [2], 0)
    collect_target_gradients(config, [2], ["alpha"])
    collect_pool_states(config, 0)
    collect_target_states(config, ["alpha"])
    for path, other in (
        (layout.pool_gradients(2), layout.pool_states(2)),
        (layout.target_gradients(2, "alpha"), layout.target_states(2, "alpha")),
    ):
        ride, alone = GradientReader(path), GradientReader(other)
        assert (alone.dimension, alone.rows, alone.states) == (0, ride.rows, ride.states)
        for column in ("last_token", "position_weighted", "loss", "tokens", "status"):
            np.testing.assert_array_equal(alone.read_column(column, 0, alone.rows), ride.read_column(column, 0, ride.rows))
        assert not (Path(other) / "directions").exists()
        assert all(not checked.defects for checked in verify(other))


def stored_bytes(path):
    """Every file of a store but its manifests' folder names, by relative path."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(Path(path).rglob("*")) if file.is_file()}


def test_all_epochs_in_one_job_give_the_same_bytes_as_a_job_an_epoch(tmp_path):
    config = make_experiment(tmp_path)
    layout = layout_of(config)
    found = []
    for jobs in ([[1, 2]], [[2], [1]]):
        for epochs in jobs:
            collect_pool_gradients(config, epochs, 0)
            collect_target_gradients(config, epochs, ["alpha", "beta"])
        found.append(stored_bytes(f"{layout.root}/gradients"))
        shutil.rmtree(f"{layout.root}/gradients")
    assert found[0] == found[1]
    assert any("shard-00000.json" in name for name in found[0])


@pytest.mark.slow
def test_rows_do_not_depend_on_the_number_of_shards(tmp_path):
    config = make_experiment(tmp_path, rows=2100, epochs=1, gradients={"token_budget": 8000})
    layout = layout_of(config)
    collect_pool_gradients(config, [1], 0)
    whole = stored_bytes(layout.pool_gradients(1))
    shutil.rmtree(layout.pool_gradients(1))
    publish_anew(config, "pool", {}, shards=[[0, 1024], [1024, 2100]])
    collect_pool_gradients(config, [1], 1)
    collect_pool_gradients(config, [1], 0)
    assert stored_bytes(layout.pool_gradients(1)) == whole


def test_finished_chunks_are_kept_and_a_damaged_one_is_computed_again(tmp_path, capsys):
    config = make_experiment(tmp_path, epochs=1)
    layout = layout_of(config)
    collect_pool_gradients(config, [1], 0)
    store = layout.pool_gradients(1)
    before = stored_bytes(store)
    capsys.readouterr()
    collect_pool_gradients(config, [1], 0)
    assert "1 chunks are already there, 0 to go" in capsys.readouterr().err
    file = Path(store, "directions/c/0/0")
    damaged = bytearray(file.read_bytes())
    damaged[100] ^= 1
    file.write_bytes(damaged)
    collect_pool_gradients(config, [1], 0)
    assert "damaged chunk" in capsys.readouterr().err
    assert stored_bytes(store) == before
    Path(store, "norm/c/0").unlink()
    collect_pool_gradients(config, [1], 0)
    assert "missing chunk" in capsys.readouterr().err
    assert stored_bytes(store) == before


def test_a_store_of_other_settings_is_started_anew(tmp_path, capsys):
    config = make_experiment(tmp_path, epochs=1)
    collect_pool_gradients(config, [1], 0)
    other = config.model_copy(deep=True)
    other.gradients.projection.kind = "identity"
    collect_pool_gradients(other, [1], 0)
    assert "starting again" in capsys.readouterr().err
    store = layout_of(config).pool_gradients(1)
    second = stored_bytes(store)
    shutil.rmtree(store)
    collect_pool_gradients(other, [1], 0)
    assert stored_bytes(store) == second


def test_verify_and_audit_find_collected_gradients_sound(tmp_path):
    import yaml
    from typer.testing import CliRunner

    from equipoise.commands.stores import app

    config = make_experiment(tmp_path, epochs=1, targets={"max_length": 48})  # cuts validation examples alone
    layout = layout_of(config)
    collect_pool_gradients(config, [1], 0)
    collect_target_gradients(config, [1], ["alpha"])
    verified = CliRunner().invoke(app, ["verify", layout.root, "--verbose"])
    assert verified.exit_code == 0, verified.output
    assert verified.output.count("ok ") == 8  # two stores, and the manifests of them, the pool, both tasks and the checkpoint
    found = audit(config, 1, None, 5, 0) + audit(config, 1, "alpha", 2, 0)
    assert len(found) == 7
    assert min(one.cosine for one in found) > 0.9999999
    assert all(abs(one.norm_ratio - 1) < 1e-5 and abs(one.loss_ratio - 1) < 1e-5 for one in found)
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    printed = CliRunner().invoke(app, ["audit-gradients", "--config", str(path), "--rows", "3"])
    assert printed.exit_code == 0, printed.output
    assert "3 rows: smallest cosine 1.0000000" in printed.output
    manifest = Path(layout.target_gradients_manifest(1, "alpha"))
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"settings": "', '"settings": "x'), encoding="utf-8")
    damaged = CliRunner().invoke(app, ["verify", layout.root])
    assert damaged.exit_code == 1
    assert f"{manifest}: damaged, changed by hand" in damaged.output


def test_neither_the_results_folder_nor_threads_nor_activation_checkpointing_reach_the_stores(tmp_path):
    config = make_experiment(tmp_path, epochs=1)
    moved = config.model_copy(
        update={
            "results": str(tmp_path / "moved"),
            "jobs": config.jobs.model_copy(update={"threads": {"default": 7}}),
            "gradients": config.gradients.model_copy(update={"activation_checkpointing": True}),
        }
    )
    shutil.copytree(config.results, moved.results)
    for one in (config, moved):
        collect_pool_gradients(one, [1], 0)
        collect_target_gradients(one, [1], ["alpha"])
    here, there = (stored_bytes(f"{layout_of(one).root}/gradients") for one in (config, moved))
    assert here == there
