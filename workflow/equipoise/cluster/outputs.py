"""What every stage of an experiment leaves behind when it is done, as paths: the rules' declared outputs."""

from equipoise.config import Experiment
from equipoise.data.fetch import needs_hub
from equipoise.experiment import ZERO_SHOT, evaluations, experiment_runs, folds
from equipoise.layout import shard_label
from equipoise.selectors import selector


def stage_outputs(config: Experiment) -> dict[str, list[str]]:
    """One path an item (shard and epoch, task, run, ...), by stage in the order of the pipeline."""
    layout = config.layout
    epochs, tasks = range(1, config.warmup.epochs + 1), list(config.tasks)
    shards = [shard_label(shard) for shard in range(config.pool.shards)]
    matrices = sorted({selector(name).matrix for name in config.selectors} - {None} | {"influence"})
    runs = experiment_runs(config) if config.suites else []
    trained = [run for run in experiment_runs(config) if run.selector != ZERO_SHOT]
    rankings = dict.fromkeys((run.selector, run.selection_seed) for run in trained)
    picks = dict.fromkeys((run.selector, run.selection_seed, run.budget) for run in trained)
    outputs = {
        "fetch": [layout.fetch_manifest] if needs_hub(config) else [],
        "prepare_targets": [layout.target_manifest(task) for task in tasks],
        "decontaminate": [layout.contamination] if config.pool.decontaminate != "skip" else [],
        "prepare_pool": [layout.pool_manifest],
        "warm_up": [layout.checkpoint_manifest(epoch) for epoch in epochs],
        "collect_pool_gradients": [layout.pool_gradients_manifest(epoch, shard) for epoch in epochs for shard in shards],
        "collect_target_gradients": [layout.target_gradients_manifest(epoch, task) for epoch in epochs for task in tasks],
        "assemble_attribution": [layout.matrix_shard_manifest(m, shard) for m in matrices for shard in shards[:: config.jobs.assembly]],
        "seal_attribution": [layout.matrix_manifest(matrix) for matrix in matrices],
        "rank": [layout.ranking(*ranking) for ranking in rankings],
        "select_budget": [layout.selection(*pick) for pick in picks],
    }
    if config.jobs.runs == "together":
        outputs["fine_tune_and_evaluate"] = [layout.fold_manifest(*fold) for fold in folds(config)] if runs else []
    else:
        outputs["fine_tune"] = [layout.run_manifest(run) for run in trained] if runs else []
        outputs["evaluate"] = [layout.scores(run, suite, seed) for run in runs for suite, seed in evaluations(config)]
    return outputs | {"report": [f"{layout.report}/index.html"]}
