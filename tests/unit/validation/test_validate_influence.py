"""The comparison of estimators from end to end on a tiny experiment: every number again from matrices and losses, by numpy and scipy."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from scipy.stats import spearmanr
from typer.testing import CliRunner

from equipoise.commands.run_stages import app
from equipoise.comparison import Retraining, compared, groups
from equipoise.errors import UserError
from equipoise.modelling.adapter import attach_adapter, lora_parameters
from equipoise.modelling.base import load_base, load_tokenizer
from equipoise.modelling.chat import pad
from equipoise.reporting.estimator_tables import table_estimators, table_estimators_by_task
from equipoise.reporting.material import Material
from equipoise.reporting.plot_estimators import predicted_and_true
from equipoise.seeds import derive_seed
from equipoise.store.manifest import read_manifest, write_manifest
from equipoise.training.schedule import learning_rate
from equipoise.training.training_set import pool_examples
from equipoise.validation import retrain
from equipoise.validation.drawing import one_step_rows, subset_rows, trained_rows
from equipoise.validation.examples import validation_examples
from equipoise.validation.measure_one_step import read_one_step
from equipoise.validation.retrain import read_losses
from equipoise.validation.validate_influence import validate_influence
from helpers.validation_experiment import SIZES, make_comparison

NAMES = ["tracin", "less"]
UNUSABLE = 4  # row of the pool without a completion token
USABLE = np.array([row for row in range(16) if row != UNUSABLE])
BETA = slice(3, 6)


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    config = make_comparison(tmp_path_factory.mktemp("validation"), NAMES)
    text = validate_influence(config)
    return config, read_manifest(config.layout.validation, "validation"), text


def test_the_table_as_json_is_what_the_manifest_holds(validated, monkeypatch):
    config, manifest, text = validated
    monkeypatch.setattr("equipoise.commands.run_stages.open_for_training", lambda path, stage: config)
    command = ["validate_influence", "--config", "any.yaml"]
    assert CliRunner().invoke(app, command).stdout == f"{text}\n"
    told = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert told == {name: manifest[name] for name in ("reference", "candidates", "results", "ceiling", "excluded")}


def matrices(config) -> dict[str, np.ndarray]:
    """[16, 6] by candidate."""
    found = {each.gradients.estimator: each.layout.matrix("influence") for each in compared(config)}
    found |= {"rds": config.layout.matrix("last_token"), "rds_plus": config.layout.matrix("position_weighted")}
    return {name: np.asarray(zarr.open_array(path, mode="r")[:], np.float64) for name, path in found.items()}


def result(manifest, measure: str, candidate: str) -> dict:
    (found,) = (each for each in manifest["results"] if (each["measure"], each["candidate"]) == (measure, candidate))
    return found


def losses(config, **which) -> np.ndarray:
    return read_losses(config, Retraining(**which))


def test_one_table_holds_every_estimator_and_baseline_by_every_measure(validated):
    _, manifest, text = validated
    everything = ["less", "tracin", "rds", "rds_plus", "gradient_norm", "loss", "length", "random"]
    for measure in ("one_step", "subsets", "without", "only"):
        held = [each["candidate"] for each in manifest["results"] if each["measure"] == measure]
        assert held == (everything if measure in ("one_step", "subsets") else everything[:-1])
    assert all(name in text for name in everything)
    for each in manifest["results"]:
        assert each["low"] <= each["value"] <= each["high"], each
        assert (each["difference"] is None) == (each["candidate"] == "less")


def test_lds_is_spearman_between_the_sum_over_a_subset_and_minus_the_mean_loss_of_seeds(validated):
    config, manifest, _ = validated
    subsets = [subset_rows(USABLE, 0.5, number, config.seed) for number in range(4)]
    assert all(len(rows) == 7 and UNUSABLE not in rows for rows in subsets)
    true = -np.mean([[losses(config, kind="subset", seed=s, number=n) for n in range(4)] for s in (0, 1)], axis=0)
    assert np.ptp(true, axis=0).min() > 0
    for name, matrix in matrices(config).items():
        predicted = np.array([matrix[rows].sum(axis=0) for rows in subsets])
        expected = [spearmanr(predicted[:, j], true[:, j]).statistic for j in range(6)]
        assert result(manifest, "subsets", name)["value"] == pytest.approx(np.mean(expected), abs=1e-5)
        assert result(manifest, "subsets", name)["by_task"]["beta"] == pytest.approx(np.mean(expected[BETA]), abs=1e-5)


def test_the_ceiling_stands_beside_and_a_low_one_is_warned_of(validated, capsys):
    config, manifest, text = validated
    seeds = [np.array([losses(config, kind="subset", seed=s, number=n) for n in range(4)]) for s in (0, 1)]
    r = np.array([spearmanr(seeds[0][:, j], seeds[1][:, j]).statistic for j in range(6)])
    expected = np.where(r > 0, 2 * r / (1 + r), r).mean()
    assert manifest["ceiling"]["mean"] == pytest.approx(expected, abs=1e-5)
    assert f"ceiling {expected:.3f}" in text
    validate_influence(config)
    said = capsys.readouterr().err
    assert ("write more validation.subsets.seeds (2 now)" in said) == (expected < 0.5)


def test_one_step_is_spearman_between_the_matrix_and_the_fall_over_epochs(validated):
    config, manifest, _ = validated
    rows = one_step_rows(USABLE, 5, config.seed)
    epochs = [read_one_step(config, epoch) for epoch in (1, 2)]
    assert epochs[0].rows.tolist() == rows.tolist()
    true = sum(each.before - each.after for each in epochs)
    for name, matrix in matrices(config).items():
        expected = np.mean([spearmanr(matrix[rows, j], true[:, j]).statistic for j in range(6)])
        assert result(manifest, "one_step", name)["value"] == pytest.approx(expected, abs=1e-5)


def test_removal_compares_the_top_rows_of_a_task_with_random_ones(validated):
    config, manifest, _ = validated
    for kind, sign in (("without", 1), ("only", -1)):
        random = np.mean([losses(config, kind=kind, seed=0, share=0.2, number=n) for n in range(2)], axis=0)
        for name in ("less", "tracin", "rds"):
            own = losses(config, kind=kind, seed=0, of=name, share=0.2, task="beta")
            expected = sign * (own - random)[BETA].mean()
            assert result(manifest, kind, name)["value"] == pytest.approx(expected, abs=1e-5)
        own = losses(config, kind=kind, seed=0, of="length", share=0.2)
        assert result(manifest, kind, "length")["value"] == pytest.approx(sign * (own - random)[BETA].mean(), abs=1e-5)


def test_the_rows_removed_are_the_most_helpful_ones(validated):
    config, _, _ = validated
    scores = matrices(config)["tracin"][:, BETA].mean(axis=1)
    top = USABLE[np.argsort(-scores[USABLE], kind="stable")][:3]
    for kind, expected in (("only", np.sort(top)), ("without", np.setdiff1d(USABLE, top))):
        found = trained_rows(Retraining(kind, 0, "tracin", 0.2, task="beta"), USABLE, scores, 0.5, config.seed)
        assert found.tolist() == expected.tolist()


def test_a_retraining_is_the_plain_training_on_its_rows(validated):
    """A whole batch a step, so that the order of rows does not matter."""
    config, _, _ = validated
    rows = subset_rows(USABLE, 0.5, 2, config.seed)
    tokenizer = load_tokenizer(config.model)
    base = load_base(config.model, "fp32", "cpu")
    model = attach_adapter(base, config.lora, derive_seed(config.seed, "finetune.adapter", 1))
    parameters = lora_parameters(model)
    optimizer = torch.optim.AdamW(list(parameters.values()), lr=1.0, weight_decay=config.training.weight_decay)
    examples = pool_examples(config, tokenizer, config.layout.pool, rows.tolist())
    steps = config.finetune.epochs
    for step in range(steps):
        parts = [model(**pad([example], 0)).loss for example in examples]
        (sum(parts) / len(parts)).backward()
        torch.nn.utils.clip_grad_norm_(list(parameters.values()), config.training.max_grad_norm)
        optimizer.param_groups[0]["lr"] = learning_rate(config.training, step, steps)
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        expected = [float(model(**pad([example], 0)).loss) for example in validation_examples(config, tokenizer)]
    found = losses(config, kind="subset", seed=1, number=2)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    untouched = losses(config, kind="subset", seed=0, number=2)
    assert np.abs(found - untouched).max() > 1e-3


def test_a_killed_comparison_goes_on_where_it_was(validated, monkeypatch):
    config, _, _ = validated
    layout, trained, made = config.layout, [], retrain._losses

    def counted(config, each, *arguments):
        trained.append((each.group, each.name))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return made(config, each, *arguments)

    monkeypatch.setattr(retrain, "_losses", counted)
    files = [layout.retraining(group, each.name) for group, members in groups(config).items() for each in members]
    before = {path: Path(path).read_bytes() for path in [*files, layout.validation, layout.validation_points]}
    gone = files[:2] + files[-2:]
    for path in gone:
        Path(path).unlink()
    part = Path(layout.one_step(2)) / "rows-00000.safetensors"
    part.write_bytes(b"damaged")
    Path(layout.validation).unlink()
    with pytest.raises(KeyboardInterrupt):
        validate_influence(config)
    assert not Path(layout.validation).exists()
    assert len(trained) == 3
    validate_influence(config)
    assert len(trained) == 5  # the two that were done stayed
    assert {path: Path(path).read_bytes() for path in before} == before


def test_other_rows_are_another_retraining(validated, monkeypatch):
    config, _, _ = validated
    path = Path(config.layout.retraining("subsets-seed-0", "subset-000"))
    kept = path.read_bytes()
    content = {key: value for key, value in json.loads(kept).items() if key not in ("kind", "seal")}
    write_manifest(path, "retraining", **content | {"fingerprint": "of other rows"})
    validate_influence(config)
    assert path.read_bytes() == kept


def test_a_training_that_does_not_stay_finite_takes_no_part(validated, tmp_path):
    config, _, _ = validated
    layout = config.layout
    subset, removal = layout.retraining("subsets-seed-1", "subset-001"), layout.retraining("rows-tracin", "only-0.2-beta-seed-0")
    kept = {path: Path(path).read_bytes() for path in (subset, removal, layout.validation, layout.validation_points)}
    for path in (subset, removal):
        content = {key: value for key, value in json.loads(kept[path]).items() if key not in ("kind", "seal")}
        write_manifest(path, "retraining", **content | {"losses": None, "failed": "loss is nan"})
    validate_influence(config)
    manifest = read_manifest(layout.validation, "validation")
    assert manifest["excluded"]["subsets"] == 1
    assert result(manifest, "only", "tracin")["value"] is None
    assert result(manifest, "only", "less")["value"] is not None
    assert result(manifest, "subsets", "tracin")["value"] is not None
    for path, content in kept.items():
        Path(path).write_bytes(content)


def test_a_matrix_that_is_missing_is_named_before_anything_is_trained(validated):
    config, _, _ = validated
    missing = config.model_copy(update={"validation": config.validation.model_copy(update={"estimators": ["logra"]})})
    with pytest.raises(UserError, match=r"estimators/logra/attribution/influence/manifest.json: missing"):
        validate_influence(missing)


def test_tables_and_figure_show_what_was_found(validated):
    config, manifest, _ = validated
    material = Material(config)
    table = table_estimators(material)
    assert len(table.frame) == len(manifest["results"])
    lds = table.frame[table.frame["measure"].str.startswith("LDS")]
    assert set(lds["ceiling"]) == {manifest["ceiling"]["mean"]}
    assert "Ceiling of LDS" in table.caption
    by_task = table_estimators_by_task(material).frame
    assert list(by_task.columns[3:]) == ["alpha", "beta"]
    assert "ceiling" in set(by_task["label"])
    figure = predicted_and_true(material)
    assert list(figure.frame.columns[3:]) == [each["candidate"] for each in manifest["results"] if each["measure"] == "one_step"]
    epochs = [read_one_step(config, epoch) for epoch in (1, 2)]
    unshared = sum(each.without_gradient - each.after for each in epochs)
    scaled = (unshared - unshared.mean(axis=0)) / unshared.std(axis=0)
    held = scaled[figure.frame["row"], figure.frame["column"]]
    np.testing.assert_allclose(figure.frame["true"], held, atol=1e-3)


def test_sizes_are_those_asked_for(validated):
    config, _, _ = validated
    counts = {name: len(members) for name, members in groups(config).items()}
    assert counts["subsets-seed-0"] == counts["subsets-seed-1"] == SIZES["subsets"]["count"]
    assert (counts["rows-random"], counts["rows-less"], counts["rows-length"]) == (4, 2, 2)
