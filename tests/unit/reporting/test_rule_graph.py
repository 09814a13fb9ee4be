"""The graph of the rules follows from what artefacts are made from."""

from xml.etree import ElementTree

import pytest

from equipoise.config_file import read_config
from equipoise.jobs import stages
from equipoise.reporting.rule_graph import rule_edges, rule_graph
from helpers.places import REPOSITORY


@pytest.mark.parametrize("config", ["config.yaml", "workflow/experiments/llama3-8b.yaml"])
def test_every_rule_stands_below_what_it_reads(config):
    config = read_config(REPOSITORY / config)
    edges = rule_edges(config)
    assert list(edges) == [stage.name for stage in stages(config)]
    order = list(edges)
    assert all(order.index(above) < order.index(rule) for rule, found in edges.items() for above in found)
    assert edges["select_budget"] == ["rank"]
    assert edges["seal_attribution"] == ["assemble_attribution"]
    assert "warm_up" in edges["collect_pool_gradients"]
    assert edges["assemble_attribution"] == ["collect_pool_gradients", "collect_target_gradients"]
    assert {"evaluate", "fine_tune_and_evaluate"} & set(edges["report"])
    assert not [rule for rule in edges if rule != "report" and not any(rule in above for above in edges.values())], "each leads somewhere"


def test_the_picture_links_the_rules_that_were_measured():
    config = read_config(REPOSITORY / "config.yaml")
    drawn = ElementTree.fromstring(rule_graph(config, {"rank"}))
    assert [link.get("href") for link in drawn.iter("a")] == ["#rule-rank"]
    assert sorted(text.text for text in drawn.iter("text")) == sorted(rule_edges(config))
    assert "rank from" in drawn.get("aria-label")
