"""What stands in figures: labels that can be read, axes that say what they are."""

import pytest

from equipoise.reporting.material import Material
from equipoise.reporting.plot_influence import figure_3_thi_ablation
from equipoise.reporting.plot_selections import pool_map
from equipoise.reporting.style import styled
from helpers.reporting_experiment import FEW, make_experiment


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """An experiment with the three selectors of Figure 3."""
    selectors = ["random", "instance_max", "instance_max_normalized", "bids"]
    return Material(make_experiment(tmp_path_factory.mktemp("results"), **FEW | {"selectors": selectors}))


@pytest.fixture
def drawn(material):
    """Draws a figure; returns its words, its frame and the drawn figure."""
    with styled() as pyplot:

        def draw(result):
            made = result(material)
            return made, made.draw(pyplot)

        yield draw


def test_numbers_of_figure_3_stand_on_a_card_above_the_dashed_line(drawn):
    made, figure = drawn(figure_3_thi_ablation)
    (axis,) = figure.axes
    names = list(made.frame.columns[1:4])
    assert [text.get_text() for text in axis.texts] == [f"{count:,}" for name in names for count in made.frame[name]]
    (line,) = (each for each in axis.lines if each.get_linestyle() == "--")
    for text in axis.texts:
        assert text.get_zorder() > line.get_zorder()
        assert text.get_bbox_patch().get_facecolor()[3] == 1, "the line does not strike the number through"
    assert axis.get_ylabel() == "Selected rows"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == list(made.frame["task"])
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"Unnormalized", "Normalized", "BIDS", "even spread"}


def test_the_pool_map_says_what_its_axes_are_and_how_much_they_hold(drawn):
    made, figure = drawn(pool_map)
    first, *others = figure.axes
    variance = made.frame.attrs["variance"]
    named = [f"Principal component {number} ({share:.1%} of the variance)" for number, share in enumerate(variance, 1)]
    assert [first.get_xlabel(), first.get_ylabel()] == named
    assert f"Both together hold {sum(variance):.1%} of the variance." in made.caption
    assert first.get_title("left") == "By source"
    assert [axis.get_title("left") for axis in others][-1] == "BIDS"
    for axis in others:
        assert (axis.get_xlim(), axis.get_ylim()) == (first.get_xlim(), first.get_ylim()), "panels of one map"
