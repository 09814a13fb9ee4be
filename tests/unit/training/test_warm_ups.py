"""Several warm-ups: what each is called, what it draws by, what is left alone when one of them is made."""

from pathlib import Path

import pytest

from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool
from equipoise.determinants import READS, determinants
from equipoise.experiment import column_epochs, epochs, gradient_epochs, last_epoch, matrix_epochs, step_epochs, warm_ups
from equipoise.planning.plan import plan
from equipoise.selectors import LOSSES, NORMS
from equipoise.store.artefact import open_artefact
from equipoise.store.kinds import KINDS
from equipoise.store.manifest import fingerprint
from equipoise.training.training_set import warmup_seed
from equipoise.training.warm_up import warm_up, warm_up_fingerprint
from helpers.experiment import changed
from helpers.kills import tree_of
from helpers.trainings import killed_at


def of_seeds(values, *seeds, **sections):
    return parse_config(changed(changed(values, {"warmup": {"seeds": list(seeds)}}), sections))


def test_a_checkpoint_is_named_by_its_epoch_and_by_a_seed_that_is_not_0(tiny_values):
    config = of_seeds(tiny_values, 0, 7)
    assert warm_ups(config) == {0: [1, 2], 7: ["1-seed-7", "2-seed-7"]}
    assert gradient_epochs(config) == step_epochs(config) == matrix_epochs(config, "influence") == epochs(config)
    found = KINDS["checkpoint"].pattern.search(config.layout.checkpoint_manifest("2-seed-7"))
    assert found["epoch"] == "2-seed-7"
    assert KINDS["checkpoint"].pattern.search(config.layout.checkpoint_manifest("2-seed-0")) is None
    last = of_seeds(tiny_values, 7, 0, gradients={"epochs": "last"})
    assert gradient_epochs(last) == ["2-seed-7", 2]


def test_what_follows_one_training_is_of_the_first_warm_up(tiny_values):
    config = of_seeds(tiny_values, 7, 0)
    assert last_epoch(config) == "2-seed-7"
    assert matrix_epochs(config, "last_token") == ["2-seed-7"]
    assert column_epochs(config, LOSSES) == ["1-seed-7", "2-seed-7"]
    assert column_epochs(config, NORMS) == ["1-seed-7", "2-seed-7", 1, 2]


def test_one_warm_up_is_what_it_was_before_there_could_be_several(tiny_values):
    from equipoise.modelling.base import adapted_in, base_identity

    config = parse_config(tiny_values)
    assert config.warmup.seeds == [0]
    assert [warmup_seed(config, purpose, 0) for purpose in ("adapter", "data", "fraction")] == [1308042047, 187354795, 2112888318]
    for stage in READS:
        assert determinants(config, stage, names=True) == determinants(of_seeds(tiny_values, 5, 0), stage, names=True)
    assert not [key for stage in READS for key in determinants(config, stage, names=True) if key == "warmup.seeds"]
    prepare_pool(config)
    content = {
        "config": determinants(config, "warm_up"),
        "data": open_artefact(config, "pool")["digest"],
        "base": base_identity(config.model),
        "adapted": adapted_in(config.model, config.lora),
    }
    assert warm_up_fingerprint(config) == fingerprint(content)
    assert warm_up_fingerprint(config, 7) == fingerprint(content | {"seed": 7})


def test_a_further_warm_up_that_was_killed_goes_on_and_the_first_is_left_alone(tiny_values):
    config = of_seeds(tiny_values, 0, 7, training={"save_steps": 3}, lora={"dropout": 0.1})
    folder = Path(config.layout.checkpoint(1)).parent
    prepare_pool(config)
    warm_up(config, 0)
    first = tree_of(folder)
    warm_up(config, 7)
    whole = tree_of(folder)
    assert {name: whole[name] for name in first} == first
    adapters = [Path(config.layout.checkpoint(epoch)) / "adapter_model.safetensors" for epoch in epochs(config)]
    assert len({path.read_bytes() for path in adapters}) == 4

    for epoch in ("1-seed-7", "2-seed-7"):
        open_artefact(config, "checkpoint", epoch=epoch).path.unlink()
        (Path(config.layout.checkpoint(epoch)) / "state.json").unlink()
    with killed_at(15), pytest.raises(KeyboardInterrupt):  # two forward passes a step: in the eighth
        warm_up(config)
    assert (Path(config.layout.checkpoint("trainer-seed-7")) / "checkpoint-6").is_dir()
    assert {name: each for name, each in tree_of(folder).items() if name in first} == first
    with killed_at(None) as calls:
        warm_up(config)
    assert len(calls) == 8  # of the last four steps
    assert tree_of(folder) == whole


def test_every_warm_up_costs_its_training_and_the_gradients_at_its_checkpoints(tiny_values):
    one, two = ({stage.name: stage for stage in plan(of_seeds(tiny_values, *seeds)).stages} for seeds in ([0], [0, 7]))
    assert [len(two[name].jobs) for name in ("warm_up", "collect_pool_gradients", "collect_target_gradients")] == [2, 4, 8]
    for name in ("warm_up", "collect_pool_gradients", "collect_target_gradients"):
        assert two[name].cost.flops == pytest.approx(2 * one[name].cost.flops)
        assert two[name].cost.disk == pytest.approx(2 * one[name].cost.disk)
    assert two["rank"].cost.flops == one["rank"].cost.flops
