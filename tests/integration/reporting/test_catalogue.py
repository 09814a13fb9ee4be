"""One entry per result: the workflow's outputs, the report folder, the page and the captions all follow the catalogue."""

from difflib import unified_diff
from pathlib import Path

import pandas as pd
import pytest
from docutils.core import publish_parts

from equipoise.config_file import read_config
from equipoise.reporting import answers, catalogue
from equipoise.reporting.captions import caption_files
from equipoise.reporting.catalogue import PAGE, RESULTS, SCORES, results
from equipoise.reporting.report import report
from equipoise.reporting.result import FORMATS, Result
from equipoise.reporting.table import Column, Table
from helpers.places import REPOSITORY
from helpers.reporting_experiment import FEW, make_experiment

CONFIGS = ("config.yaml", *(str(path.relative_to(REPOSITORY)) for path in sorted(REPOSITORY.glob("workflow/experiments/*.yaml"))))


def throw_away(material):
    """A table that only this test knows."""
    return Table("Of one row.", pd.DataFrame({"model": [material.config.model.name]}), (Column("model", "Model"),))


@pytest.fixture
def one_more(monkeypatch) -> Result:
    """An entry that is added to the catalogue, beside which nothing changes: its function stands in a module of the room."""
    entry = Result("table", "answers:throw_away", RESULTS[0].section, "A table of this test")
    monkeypatch.setattr(answers, "throw_away", throw_away, raising=False)
    monkeypatch.setattr(catalogue, "RESULTS", (*RESULTS, entry))
    return entry


def outputs(config: Path | str) -> set[str]:
    """Output files of the rule `report`, below the report folder, as the Snakefile declares them."""
    from snakemake.api import ConfigSettings, OutputSettings, ResourceSettings, SnakemakeApi

    settings = ConfigSettings(configfiles=[Path(config).resolve()])
    with SnakemakeApi(OutputSettings(verbose=False)) as api:
        loaded = api.workflow(ResourceSettings(cores=1), config_settings=settings, snakefile=REPOSITORY / "Snakefile")._workflow
        return {str(path).split("/report/")[1] for path in loaded.get_rule("report").output}


def test_every_entry_has_a_function_a_caption_and_a_name_of_its_own():
    assert len({result.name for result in RESULTS}) == len(RESULTS)
    for result in RESULTS:
        assert callable(result.load()), result.name
        assert result.caption.endswith((".", "?")), result.name
        assert result.kind in FORMATS, result.name
        assert not result.title.endswith("."), result.name


def test_captions_of_snakemakes_report_are_in_step_with_the_catalogue():
    folder = REPOSITORY / "workflow" / "report"
    expected = caption_files()
    for path, text in expected.items():
        kept = path.read_text(encoding="utf-8") if path.exists() else ""
        difference = "".join(unified_diff(kept.splitlines(True), text.splitlines(True), str(path), "the catalogue"))
        assert not difference, f"run `python -m equipoise.reporting.captions`:\n{difference}"
        assert "system-message" not in publish_parts(text, writer="html")["body"]
    assert {*folder.glob("*.rst")} == {*expected, folder / "page.rst", folder / "scores.rst"}


@pytest.mark.parametrize("config", CONFIGS)
def test_the_workflow_promises_the_files_of_every_entry_that_a_configuration_has(config):
    entries = results(read_config(REPOSITORY / config))
    assert len(entries) > 20
    assert outputs(REPOSITORY / config) == {PAGE, SCORES} | {file for entry in entries for file in entry.files}


def test_a_new_entry_appears_among_the_outputs_in_the_folder_and_on_the_page_by_itself(tmp_path, one_more):
    config = make_experiment(tmp_path, **FEW | {"selectors": ["random"]})
    assert set(one_more.files) <= outputs(config.layout.config)
    report(config)
    folder = Path(config.layout.report)
    assert (folder / "tables" / "throw_away.csv").read_text(encoding="utf-8") == "model\ntiny\n"
    page = (folder / PAGE).read_text(encoding="utf-8")
    section = page[page.index(f'<section id="{one_more.section.id}"') :]
    section = section[: section.index("</section>")]
    assert '<table class="report" id="throw_away">' in section
    assert "A table that only this test knows. Of one row." in section
