"""Losses of the untuned base: those that the plain model gives, with the prompt and without it."""

import numpy as np
import pytest
import torch

from equipoise.data.encoding import encode_file
from equipoise.gradients.score_pool import score_pool
from equipoise.jobs import stages
from equipoise.modelling.base import load_base, load_tokenizer
from equipoise.planning.plan import plan
from equipoise.selection.rank import _pool_columns
from equipoise.store.verify import verify
from helpers.gradient_experiment import make_experiment


@pytest.mark.parametrize("selectors", [["perplexity"], ["ifd"]])
def test_losses_are_the_plain_models(tmp_path, selectors, capsys):
    config = make_experiment(tmp_path, selectors=selectors)
    columns = [job[0].key[0] for stage in stages(config) if stage.name == "score_pool" for job in stage.jobs]
    assert columns == {"perplexity": ["base_loss"], "ifd": ["base_loss", "base_loss_alone"]}[selectors[0]]
    for column in columns:
        score_pool(config, column, 0)
    score_pool(config, columns[0], 0)
    assert "1 chunks are already there, 0 to go" in capsys.readouterr().err
    found = _pool_columns(config, tuple(columns))
    model = load_base(config.model, "fp32", "cpu")
    examples = encode_file(config.layout.pool, load_tokenizer(config.model), config.model.max_length)
    for row, example in enumerate(examples):
        ids, labelled = torch.tensor(example.input_ids), example.labelled
        starts = {"base_loss": (ids, labelled)}
        if labelled:
            alone = torch.cat([ids[labelled[0] - 1 : labelled[0]], ids[labelled]])
            starts["base_loss_alone"] = (alone, list(range(1, len(alone))))
        for column in columns:
            if not labelled:
                assert np.isnan(found[column][row])
                continue
            tokens, places = starts[column]
            with torch.no_grad():
                scores = model(input_ids=tokens[None]).logits[0].double().log_softmax(-1)
            expected = -np.mean([float(scores[place - 1, tokens[place]]) for place in places])
            np.testing.assert_allclose(found[column][row], expected, rtol=1e-5)
    assert not [defect for checked in verify(config.layout.root + "/pool/scores") for defect in checked.defects]
    costs = {stage.name: stage.cost for stage in plan(config).stages}
    assert costs["score_pool"].tokens > 0
    assert 0 < costs["score_pool"].flops < costs["collect_pool_gradients"].flops


def test_nothing_is_scored_that_no_selector_asks_for(tmp_path):
    config = make_experiment(tmp_path, selectors=["bids", "longest", "s2l"])
    assert "score_pool" not in {stage.name for stage in stages(config)}
