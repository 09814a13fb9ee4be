"""Trainings that do not stay finite: they stop with one line and vouch for nothing; the runs beside them go on."""

import json
from pathlib import Path

import pytest

from equipoise.config import Suite
from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool
from equipoise.errors import UserError
from equipoise.layout import Run
from equipoise.store.manifest import read_manifest
from equipoise.training.divergence import Diverged, failure
from equipoise.training.fine_tune import fine_tune
from equipoise.training.warm_up import warm_up
from helpers.artefacts import publish_anew
from helpers.selections import write_selection

RUN = Run("bids", 0, "0.2", 1, 0)


@pytest.fixture
def spoil(monkeypatch):
    """Multiplies loss, gradients or, after the optimizer, the adapter by infinity at one step of every training."""
    import torch
    from transformers import Trainer

    from equipoise.modelling.adapter import lora_parameters

    def spoiled(what, step):
        training_step, clip, stepped = Trainer.training_step, Trainer._clip_grad_norm, torch.optim.AdamW.step

        def loss(self, *arguments, **keywords):
            return training_step(self, *arguments, **keywords) * (float("inf") if self.state.global_step + 1 == step else 1.0)

        def gradient(self, model):
            if self.state.global_step + 1 == step:
                next(iter(lora_parameters(model).values())).grad[0, 0] = float("nan")
            return clip(self, model)

        def adapter(self, *arguments, **keywords):
            result = stepped(self, *arguments, **keywords)
            if next(iter(self.state.values()))["step"] == step:
                self.param_groups[0]["params"][0].data[0, 0] = float("-inf")
            return result

        owner = torch.optim.AdamW if what == "adapter" else Trainer
        name = {"loss": "training_step", "gradient": "_clip_grad_norm", "adapter": "step"}[what]
        monkeypatch.setattr(owner, name, {"loss": loss, "gradient": gradient, "adapter": adapter}[what])

    return spoiled


@pytest.mark.parametrize(
    ("what", "said"), [("loss", "loss is inf"), ("gradient", "gradient norm is nan"), ("adapter", "norm of the adapter is inf")]
)
@pytest.mark.parametrize("save_steps", [1, 1000])
def test_a_warm_up_stops_at_the_step_that_is_not_finite(tiny_config, spoil, what, said, save_steps):
    prepare_pool(tiny_config)
    values = tiny_config.model_dump()
    values["training"]["save_steps"] = save_steps
    spoil(what, 7)
    with pytest.raises(Diverged, match=rf"^warm-up: {said} at step 7; try a lower training.learning_rate"):
        warm_up(parse_config(values))
    folder = Path(tiny_config.layout.checkpoint(1)).parent
    assert not list(folder.glob("*.json"))
    assert {path.name for path in folder.glob("epoch-trainer/checkpoint-*/whole")} == ({"whole"} if save_steps == 1 else set())
    assert not (folder / "epoch-trainer" / "checkpoint-7").exists()
    assert not (folder / "epoch-2").exists()


def selected(config, runs):
    prepare_pool(config)
    for run in runs:
        rows = [{"row": row, "rank": row} for row in range(8)]
        write_selection(config, run.selector, run.selection_seed, run.budget, rows)


def test_a_fine_tuning_that_diverges_leaves_its_reason_and_no_adapter(tiny_config, spoil):
    selected(tiny_config, [RUN])
    values = tiny_config.model_dump()
    values["training"]["learning_rate"] = 0.02
    fine_tune(parse_config(values), RUN)  # an earlier configuration's adapter
    spoil("loss", 1)
    fine_tune(tiny_config, RUN)
    manifest = read_manifest(tiny_config.layout.run_manifest(RUN), "run")
    assert "loss is inf at step 1" in manifest["failed"]
    assert "files" not in manifest
    assert not Path(tiny_config.layout.adapter(RUN)).exists()


def test_a_failed_run_is_not_tried_again_until_something_changes(tiny_config, spoil, monkeypatch):
    selected(tiny_config, [RUN])
    spoil("loss", 1)
    fine_tune(tiny_config, RUN)
    monkeypatch.undo()
    fine_tune(tiny_config, RUN)
    assert "loss is inf" in failure(tiny_config, RUN)
    values = tiny_config.model_dump()
    values["training"]["learning_rate"] = 0.005
    slower = parse_config(values)
    fine_tune(slower, RUN)
    assert failure(slower, RUN) is None


def test_a_failed_run_is_evaluated_to_its_reason(tiny_config, spoil):
    from equipoise.evaluation.evaluate import evaluate

    selected(tiny_config, [RUN])
    spoil("loss", 1)
    fine_tune(tiny_config, RUN)
    config = tiny_config.model_copy(update={"suites": {"mine": Suite()}})
    evaluate(config, RUN, "mine", 0)
    scores = read_manifest(config.layout.scores(RUN, "mine", 0), "scores")
    assert "loss is inf at step 1" in scores["failed"]
    assert scores["tasks"] == {}
    assert Path(config.layout.samples(RUN, "mine", 0)).read_text() == ""


def test_the_other_runs_of_a_fold_go_on_and_its_manifest_names_the_failed_one(tiny_config, monkeypatch):
    from equipoise.evaluation import evaluate, fine_tune_and_evaluate, session
    from equipoise.experiment import folds
    from equipoise.training import batch_trainer

    values = tiny_config.model_dump()
    values["finetune"]["seeds"] = [0, 1, 2]
    values["budgets"] = [0.2]
    config = parse_config(values)
    runs = folds(config)["bids", 0]
    selected(config, runs)
    real = batch_trainer.refuse_non_finite
    monkeypatch.setattr(
        batch_trainer, "refuse_non_finite", lambda title, step, **v: real(title, step, loss=float("nan") if title == runs[1].path else 0.0)
    )
    monkeypatch.setattr(session, "Session", lambda *a: None)
    monkeypatch.setattr(evaluate, "evaluate", lambda *a: None)
    fine_tune_and_evaluate.fine_tune_and_evaluate(config, "bids", 0)
    assert [failure(config, run) is None for run in runs] == [True, False, True]
    fold = read_manifest(config.layout.fold_manifest("bids", 0), "fold")
    assert list(fold["failed"]) == [runs[1].path]
    assert "loss is nan at step 1" in fold["failed"][runs[1].path]


def test_a_checkpoint_with_nan_is_named_wherever_it_is_read(tiny_config):
    import torch
    from safetensors.torch import load_file, save_file

    from equipoise.gradients.collect import collect_pool_gradients

    prepare_pool(tiny_config)
    warm_up(tiny_config)
    for epoch, epochs in ((1, [1]), (2, [1, 2])):
        path = Path(tiny_config.layout.checkpoint(epoch)) / "adapter_model.safetensors"
        whole = load_file(path)
        name = sorted(whole)[0]
        save_file(whole | {name: torch.full_like(whole[name], float("nan"))}, path, metadata={"format": "pt"})
        publish_anew(tiny_config, "checkpoint", {"epoch": epoch})
        with pytest.raises(UserError, match=rf"epoch-{epoch}: non-finite weights in .*{name}"):
            collect_pool_gradients(tiny_config, epochs, 0)
        save_file(whole, path, metadata={"format": "pt"})
        publish_anew(tiny_config, "checkpoint", {"epoch": epoch})


def test_a_base_with_nan_is_not_blamed_on_its_output_layer(tiny_base):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from equipoise.gradients.engine import Engine

    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    base.model.norm.weight.data[3] = float("nan")
    with pytest.raises(UserError, match=r"non-finite weights in .*model\.norm\.weight"):
        Engine(get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj"])).eval())


def test_loss_gradient_norm_and_rate_stand_in_the_log_while_training(tiny_config, monkeypatch, capsys):
    from equipoise import progress

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    prepare_pool(tiny_config)
    warm_up(tiny_config)
    lines = [line for line in capsys.readouterr().err.splitlines() if "  training: " in line and " left, " in line]
    assert len(lines) == 9
    for line in lines:
        said = dict(part.rsplit(" ", 1) for part in line.split(" left, ")[1].split(", "))
        assert set(said) == {"loss", "gradient norm", "learning rate"}
        assert all(float(value) >= 0 for value in said.values())
    assert json.loads(Path(tiny_config.layout.checkpoint_manifest(2)).read_text())["step"] == 10
