"""The study's pools, arms and tables, and that its final comparison is made once."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t, ttest_rel
from typer.testing import CliRunner

from equipoise.commands.miniature import miniature
from equipoise.config_file import read_config, write_config
from equipoise.errors import UserError
from equipoise.reporting.statistics import holm
from equipoise.selectors import selector as find_selector
from equipoise.study import final_comparison
from equipoise.study.final_comparison import CANDIDATE_STUDY, Chosen, choose, compared_arms, run_final
from equipoise.study.one_pool import Arm, identity, planned_arms, read_result
from equipoise.study.study import Study, fill_in, pool_experiment, pools_so_far
from equipoise.study.tables import Cell, Pool, differences, differences_markdown, gather, macros, markdown
from equipoise.study.task_tables import gather_tasks
from helpers.places import REPOSITORY

CONFIG = REPOSITORY / "config.yaml"


BASE = read_config(CONFIG)
CHOSEN = Chosen(("less", "ekfac", "ekfac_unit", "trak"), "round_robin_floor", ("s2l", "ifd"))


def arm(selector, macro, estimator="", budget="0.05", seed=0):
    return Arm(estimator, selector, 0, budget, seed, {"a": macro - 10.0, "b": macro + 10.0}, None)


def test_a_pools_experiment_differs_in_name_and_data_alone():
    other = pool_experiment(BASE, Study(), "clean", 2)
    assert other.experiment == f"{BASE.experiment}-clean-2"
    assert (other.miniature.profile, other.miniature.seed) == ("clean", 2)
    assert other.pool.files == ["resources/miniature/clean-2/pool.jsonl"]
    text = json.dumps(other.model_dump(mode="json"))
    assert "noisy-0" not in text
    assert text.count("clean-2/") == json.dumps(BASE.model_dump(mode="json")).count("noisy-0/") >= 9
    assert (other.training, other.validation) == (BASE.training, BASE.validation)
    same = pool_experiment(BASE, Study(), "noisy", 0)
    assert same.suites["miniature"].measure == "accuracy", "what a study compares"
    assert same == BASE.model_copy(update={"suites": same.suites})


def test_a_pool_of_conflicting_tasks_has_the_task_that_wants_the_opposite():
    other = pool_experiment(BASE, Study(), "conflicting", 4)
    assert list(other.tasks) == [*BASE.tasks, "contrary"]
    task = other.tasks["contrary"]
    assert task.files == ["resources/miniature/conflicting-4/validation/contrary.jsonl"]
    assert (task.lm_eval_tasks, task.suite) == (["miniature_contrary"], "miniature")


def test_a_study_names_its_arms():
    study = Study(estimators=["ekfac", "trak"], selectors=["random", "bids"], budgets=[0.05, 200], seeds=[7])
    other = pool_experiment(BASE, study, "noisy", 1)
    assert (other.selectors, other.budgets, other.finetune.seeds, other.finetune.extra) == (["random", "bids"], [0.05, 200], [7], [])
    found = [(each.gradients.estimator, run.selector, run.selection_seed, run.budget) for each, run in planned_arms(other)]
    of_influence = [(name, "bids", 0, budget) for name in ("ekfac", "trak") for budget in ("0.05", "200")]
    others = [("less", "random", seed, budget) for seed in (0, 1) for budget in ("0.05", "200")]
    assert sorted(found) == sorted([("less", "zero_shot", 0, "1.0"), *of_influence, *others])
    places = {each.layout.selection("bids", 0, "0.05") for each, run in planned_arms(other) if run.selector == "bids"}
    assert len(places) == 2, "two estimators' selections lie apart"


def test_the_final_comparison_is_fifteen_pools_of_one_run_an_arm():
    study = CHOSEN.study
    assert len(study.profiles) * len(study.pool_seeds) == 15
    arms = planned_arms(pool_experiment(BASE, study, "clean", 3))
    assert len(arms) == 1 + 4 * 5 * 2 + 2 * 2 + 2 * (1 + 2 + 1)  # zero-shot; influence; random twice; rds_plus, baselines, oracle
    assert not set(study.pool_seeds) & set(CANDIDATE_STUDY.pool_seeds)


def test_an_experiment_without_generated_data_cannot_be_studied():
    with pytest.raises(UserError, match="miniature: not set"):
        pool_experiment(BASE.model_copy(update={"miniature": None}), Study(), "clean", 0)
    with pytest.raises(UserError, match="no such noise profile"):
        pool_experiment(BASE, Study(), "loud", 0)


def test_macros_average_tasks_and_runs():
    pool = Pool("noisy", 0, [arm("bids", 20.0, "less", seed=0), arm("bids", 40.0, "less", seed=1), arm("bids", 50.0, "ekfac")])
    assert macros(pool) == {("less", "bids", "0.05"): 30.0, ("ekfac", "bids", "0.05"): 50.0}


def test_the_table_gives_mean_and_deviation_over_pools():
    pools = [
        Pool("noisy", n, [arm("zero_shot", 14.0, budget="1.0"), arm("bids", value, "less"), arm("bids", 50.0, "less", "0.1")])
        for n, value in enumerate((40.0, 42.0, 44.0))
    ]
    cells = gather(pools)
    assert cells[1] == Cell("noisy", "less", "bids", "0.05", 3, 42.0, 2.0)
    assert markdown(cells).splitlines()[2:] == [
        "| selector | 5 % | 10 % |",
        "|---|---|---|",
        "| zero_shot | 14.0 ± 0.0 |  |",
        "| bids | 42.0 ± 2.0 | 50.0 ± 0.0 |",
    ]
    assert "| bids | 40.0 | 50.0 |" in markdown(gather(pools[:1]))
    both = markdown(gather([replace(pools[0], arms=[*pools[0].arms, arm("bids", 60.0, "ekfac", "0.1")])]))
    assert both.splitlines()[2:] == [
        *("| estimator | selector | 5 % | 10 % |", "|---|---|---|---|", "|  | zero_shot | 14.0 |  |"),
        *("| less | bids | 40.0 | 50.0 |", "| ekfac | bids |  | 60.0 |"),
    ]


def random_pools(rng, pools=15):
    """All arms of the final comparison, one estimator and one baseline plainly better."""
    made = []
    for number in range(pools):
        arms = []
        for budget in ("0.05", "0.1"):
            for name in (*CANDIDATE_STUDY.selectors, CHOSEN.selector):
                for estimator in CANDIDATE_STUDY.estimators if selector_reads_influence(name) else ("",):
                    better = 8 * (estimator == "trak") + 5 * (name == "task_quota") + 9 * (name == "kcenter")
                    arms.append(arm(name, float(50 + better + rng.normal()), estimator, budget))
        made.append(Pool(("noisy", "clean", "conflicting")[number % 3], number, arms))
    return made


def selector_reads_influence(name):
    return find_selector(name).matrix == "influence"


def test_differences_are_paired_by_pool():
    pools = random_pools(np.random.default_rng(1))
    pairs = compared_arms(CHOSEN)
    made = differences(pools, pairs)
    both = [
        np.array([[np.mean([v for (e, s, _), v in macros(p).items() if (e, s) == side]) for side in pair] for p in pools]) for pair in pairs
    ]
    expected = [ttest_rel(values[:, 0], values[:, 1]) for values in both]
    np.testing.assert_allclose([each.p for each in made], holm([each.pvalue for each in expected]))
    reach = t.ppf(0.975, 14) * (both[0][:, 0] - both[0][:, 1]).std(ddof=1) / np.sqrt(15)
    assert made[0].high - made[0].mean == pytest.approx(reach)
    assert made[0].ahead == (both[0][:, 0] > both[0][:, 1]).sum()
    assert np.mean(list(made[0].by_profile.values())) == pytest.approx(made[0].mean)
    assert len(differences_markdown(made).splitlines()) == 2 + len(pairs) == 2 + 3 * 5 + 4 * 4 + 5


def test_the_candidates_choose_by_their_means_alone():
    chosen = choose(random_pools(np.random.default_rng(2), 9))
    assert chosen.estimators[:2] == ("less", "trak")
    assert len(set(chosen.estimators)) == 4
    assert chosen.selector == "task_quota"
    assert chosen.baselines[0] == "kcenter"
    assert len(set(chosen.baselines)) == 2


def test_the_final_comparison_is_made_once(tmp_path, monkeypatch):
    base, made = BASE.model_copy(update={"results": str(tmp_path)}), []
    monkeypatch.chdir(tmp_path)
    pools = random_pools(np.random.default_rng(3))
    monkeypatch.setattr(final_comparison, "run_study", lambda *given: made.append(given) or pools)
    with pytest.raises(UserError, match="run the candidates first"):
        run_final(base, 2, again=False)
    said = tmp_path / "miniature-candidates" / "chosen.json"
    said.parent.mkdir()
    said.write_text(json.dumps(vars(CHOSEN)))
    text = run_final(base, 2, again=False).text
    assert made[0][1] == CHOSEN.study
    assert "| less round_robin | less bids |" in text
    with pytest.raises(UserError, match="has been made"):
        run_final(base, 2, again=False)
    assert run_final(base, 2, again=True).text == text
    (tmp_path / "miniature-final" / "differences.csv").unlink()
    run_final(base, 2, again=False)  # was stopped: goes on
    (tmp_path / "miniature-final" / "differences.csv").unlink()
    said.write_text(json.dumps(vars(replace(CHOSEN, selector="bids_sum"))))
    with pytest.raises(UserError, match="begun with other arms"):
        run_final(base, 2, again=False)


@pytest.mark.parametrize("part", [[], ["--candidates"], ["--final"]], ids=["plain", "candidates", "final"])
def test_a_study_as_json_has_the_values_of_its_tables(tmp_path, monkeypatch, part):
    monkeypatch.chdir(tmp_path)
    pools = random_pools(np.random.default_rng(3))
    for module in ("study", "final_comparison"):
        monkeypatch.setattr(f"equipoise.study.{module}.run_study", lambda *given: pools)
    said = tmp_path / "results" / "miniature-candidates" / "chosen.json"
    said.parent.mkdir(parents=True)
    said.write_text(json.dumps(vars(CHOSEN)))
    done = CliRunner().invoke(miniature, ["study", "--profiles", "noisy", "--config", str(CONFIG), *part, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["cells"] == [vars(cell) for cell in gather(pools)]
    assert told["tasks"] == [vars(cell) for cell in gather_tasks(pools)]
    assert ("differences" in told, "chosen" in told) == (part == ["--final"], part == ["--candidates"])


def test_a_study_under_way_shows_the_pools_that_are_finished_and_runs_nothing(tmp_path):
    base = BASE.model_copy(update={"results": str(tmp_path / "results")})
    write_config(base, tmp_path / "config.yaml")
    with pytest.raises(UserError, match="no finished pool"):
        pools_so_far(base, CANDIDATE_STUDY)
    folder, pools = CANDIDATE_STUDY.folder(base), random_pools(np.random.default_rng(4), 2)
    folder.mkdir(parents=True)
    for pool in pools:
        one = pool_experiment(base, CANDIDATE_STUDY, pool.profile, 0)
        values = {"made_for": identity(one), "arms": [vars(each) for each in pool.arms], "scales": [], "seconds": {}}
        (folder / f"{one.experiment}.json").write_text(json.dumps(values))
    (folder / "miniature-conflicting-0.json").write_text(json.dumps({"made_for": "another configuration"}))
    there = sorted(tmp_path.rglob("*"))
    done = CliRunner().invoke(miniature, ["study", "--candidates", "--finished", "--config", str(tmp_path / "config.yaml"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["cells"] == [vars(cell) for cell in gather([replace(pool, seed=0) for pool in pools])]
    assert sorted(tmp_path.rglob("*")) == there
    for other in ("--final", "--measures"):
        with pytest.raises(UserError, match=f"leave out {other}"):
            CliRunner().invoke(miniature, ["study", "--finished", other, "--config", str(CONFIG)], catch_exceptions=False)


@pytest.mark.parametrize("text", ["", "{", "[]", "\udce4", "null"])
def test_a_file_that_is_no_pools_result_is_named(tmp_path, text):
    file = tmp_path / "miniature.json"
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError, match=r"miniature\.json: not a pool's result .*; remove it"):
        read_result(file, BASE)


def test_arms_that_are_none_are_named(tmp_path):
    for arms in ({}, {"arms": [{}], "scales": []}, {"arms": 3, "scales": []}):
        (tmp_path / "miniature.json").write_text(json.dumps({"made_for": identity(BASE), **arms}))
        with pytest.raises(UserError, match="not a pool's result"):
            read_result(tmp_path / "miniature.json", BASE)


def test_a_table_goes_between_its_own_marks(tmp_path):
    path = tmp_path / "results.md"
    path.write_text("a\n<!-- study: by x -->\nold\n<!-- end of study -->\nb\n<!-- final: by y -->\n<!-- end of final -->\n")
    fill_in(path, "final", "new\n")
    fill_in(path, "study", "newer\n")
    fill_in(path, "candidates", "nowhere\n")
    assert path.read_text() == (
        "a\n<!-- study: by x -->\nnewer\n<!-- end of study -->\nb\n<!-- final: by y -->\nnew\n<!-- end of final -->\n"
    )
