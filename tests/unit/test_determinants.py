"""What determines a result: every key of the configuration, flipped one at a time, against a list written by hand."""

from fnmatch import fnmatch

import pytest

from equipoise.config_file import parse_config
from equipoise.config_keys import Effect
from equipoise.determinants import READS, determinants, leaves
from helpers.flips import flipped
from helpers.workflow_runs import evaluated

COLLECT = {"collect_pool_gradients", "collect_target_gradients"}
WIDTH = {"choose_dimension", *COLLECT}
STATES = {"collect_pool_states", "collect_target_states", "score_pool"}
GRADIENTS = {"fit_curvature", *WIDTH}
TRIALS = {"measure_one_step", "retrain"}
READERS = {"prepare_pool", "prepare_targets", "warm_up", "fine_tune", "evaluate", *GRADIENTS, *STATES, *TRIALS}
# key -> stages whose results it determines by itself; what reaches other stages through their input files is not listed. First match.
EXPECTED = (
    ("seed", {"prepare_targets", "warm_up", "fine_tune", "report", "fit_influence_model", "validate_influence", *GRADIENTS, *TRIALS}),
    ("model.max_length", READERS - {"evaluate"} | {"check_base"}),
    ("model.precision", {"warm_up", "fine_tune", "retrain", "evaluate", "check_base"}),
    ("model.quantisation", {"warm_up", "fine_tune", "evaluate", "check_base", *GRADIENTS, *STATES, *TRIALS}),
    ("model.attention", {"warm_up", "fine_tune", "evaluate", "check_base", *GRADIENTS, *STATES, *TRIALS}),
    ("model.base", READERS | {"fetch", "check_base"}),
    ("model.chat_template", READERS | {"check_base"}),
    ("model.revision", READERS | {"fetch", "check_base"}),
    ("lora.*", {"warm_up", "fine_tune", "retrain", "check_base"}),
    ("pool.limit", {"prepare_pool", "decontaminate"}),
    ("pool.decontaminate", set()),  # it shows in the input files
    ("pool.files", {"prepare_pool", "decontaminate"}),
    *((f"pool.{key}", {"prepare_pool", "decontaminate", "fetch"}) for key in ("dataset", "name", "revision", "split")),
    ("pool.*", {"prepare_pool", "decontaminate", "warm_up"}),
    ("targets.max_length", {"prepare_targets", "choose_dimension", "collect_target_gradients", "collect_target_states", *TRIALS}),
    ("targets.*", {"prepare_targets"}),
    ("tasks.*.capability", {"report"}),
    ("tasks.*.metric", {"evaluate"}),
    *((f"tasks.*.{key}", {"prepare_targets"}) for key in ("files", "format", "columns", "bad_rows")),
    ("tasks.*.substitutes", {"prepare_targets"}),
    ("tasks.*.test_files", {"decontaminate", "evaluate"}),
    ("tasks.*.benchmark", {"prepare_targets", "decontaminate", "fetch"}),
    ("tasks.*.revision", {"prepare_targets", "decontaminate", "fetch"}),
    ("tasks.*.suite", {"prepare_targets", "decontaminate", "evaluate"}),
    ("tasks.*.lm_eval_tasks", {"prepare_targets", "decontaminate", "evaluate", "fetch"}),
    ("suites.*.chat", {"prepare_targets", "evaluate"}),
    ("suites.*.num_fewshot", {"prepare_targets", "evaluate"}),
    ("suites.*.include_path", {"prepare_targets", "decontaminate", "evaluate"}),
    ("suites.*", {"evaluate"}),
    ("training.loss_on", READERS - {"evaluate"}),
    ("training.weight_decay", {"warm_up", "fine_tune", *TRIALS}),
    ("training.*", {"warm_up", "fine_tune", "retrain"}),
    ("validation.one_step.*", {"measure_one_step", "validate_influence"}),
    ("validation.*", {"validate_influence"}),
    ("warmup.*", {"warm_up"}),
    *((f"gradients.{name}*", set()) for name in ("logra", "ekfac", "trak", "matrix")),
    ("gradients.mates.penalty", {"fit_influence_model"}),
    *((f"gradients.{name}*", set()) for name in ("mates",)),  # of another estimator than the chosen one
    ("gradients.adam_form", {"choose_dimension", "collect_pool_gradients"}),
    *((f"gradients.{key}", WIDTH | STATES) for key in ("precision", "token_budget")),
    ("gradients.*", WIDTH),
    ("selection.*", {"rank", "report"}),
    ("sandbox.*", set()),  # no program is run
    ("report.*", {"report"}),
    ("miniature", {"generate_miniature"}),
)
WITHOUT = (Effect.NONE, Effect.PLACE, Effect.JOBS)


@pytest.fixture
def config(tiny_values):
    return parse_config(evaluated(tiny_values))


def of_stages(config, names: bool) -> dict[str, dict]:
    return {stage: determinants(config, stage, names=names) for stage in READS}


def changed_stages(config, path: str, names: bool) -> set[str]:
    before, after = of_stages(config, names), of_stages(flipped(config, path), names)
    return {stage for stage in READS if before[stage] != after[stage]}


def test_each_key_determines_what_it_should_and_nothing_else(config):
    kept = {"tasks": list(config.tasks), "suites": list(config.suites)}
    keys = [key for name in type(config).model_fields for key in leaves(config, [name], kept)]
    for path, effect, _ in keys:
        expected = set() if effect in WITHOUT else next((stages for key, stages in EXPECTED if fnmatch(path, key)), None)
        assert expected is not None, f"{path}: neither marked nor listed"
        assert changed_stages(config, path, names=True) == expected, path
        by_content = set() if effect is Effect.CONTENT else expected
        assert changed_stages(config, path, names=False) == by_content, path


def test_keys_of_the_estimator_in_use_count_on_the_side_that_reads_them(tiny_values):
    logra = parse_config(tiny_values | {"gradients": tiny_values["gradients"] | {"estimator": "logra"}})
    assert changed_stages(logra, "gradients.logra.rank", names=True) == WIDTH
    assert changed_stages(logra, "gradients.logra.damping", names=True) == {"choose_dimension", "collect_target_gradients"}
    assert changed_stages(logra, "gradients.projection.dimension", names=True) == set()


def test_keys_of_a_fit_count_for_the_fit_alone(tiny_values):
    def of(name):
        return parse_config(tiny_values | {"gradients": tiny_values["gradients"] | {"estimator": name}})

    for name, damped in (("ekfac", {"choose_dimension", "collect_target_gradients"}), ("ekfac_unit", WIDTH)):
        assert changed_stages(of(name), "gradients.ekfac.labels", names=True) == {"fit_curvature"}
        assert changed_stages(of(name), "gradients.ekfac.damping", names=True) == damped
        assert changed_stages(of(name), "gradients.precision", names=True) == GRADIENTS | STATES
    assert changed_stages(of("trak"), "gradients.trak.damping", names=True) == {"fit_curvature"}
    assert changed_stages(of("trak"), "gradients.projection.dimension", names=True) == WIDTH


def test_the_sandbox_counts_where_programs_are_run(tiny_values):
    values = evaluated(tiny_values | {"sandbox": {"mode": "process"}})
    values["tasks"]["first"] |= {"benchmark": "human_eval", "files": [], "lm_eval_tasks": ["equipoise_human_eval"]}
    assert changed_stages(parse_config(values), "sandbox.seconds", names=True) == {"evaluate"}


def test_a_job_depends_on_its_own_tasks_and_suites_alone(config):
    other = flipped(flipped(config, "tasks.second.files"), "suites.mine.batch_size")
    one = [determinants(c, "prepare_targets", tasks=["first"], suites=["mine"], names=True) for c in (config, other)]
    assert one[0] == one[1]
    assert determinants(config, "evaluate", suites=[]) == determinants(other, "evaluate", suites=[])
