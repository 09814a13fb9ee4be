"""Peak memory of every stage: of one process on a GPU, and of a job on its host."""

from equipoise.experiment import evaluations
from equipoise.planning import host_memory, memory
from equipoise.planning.sizes import Sizes


def peak_gpu_memory(sizes: Sizes, stage: str) -> float | None:
    """Peak GPU memory of one process."""
    train, score = memory.training(sizes.config, sizes.shape), _evaluation_memory(sizes)
    longest = {"collect_pool_gradients": sizes.config.model.max_length}
    longest["choose_dimension"] = max(sizes.config.model.max_length, sizes.config.targets.longest(sizes.config.model))
    longest["collect_target_gradients"] = sizes.config.targets.longest(sizes.config.model)
    fit = sizes.fit_cost
    if stage in longest:
        side, made = stage.split("_")[1], sizes.estimator.fitted if sizes.estimator else None
        held = fit.held if made and (side in made.sides or side == "dimension") else 0.0
        return memory.gradients(sizes.config, sizes.shape, longest[stage]) + memory.HEADROOM * held
    if stage == "fit_curvature" and fit.memory:
        return memory.gradients(sizes.config, sizes.shape, sizes.config.model.max_length) + memory.HEADROOM * max(fit.memory, fit.held)
    if stage in ("score_pool", "collect_pool_states", "collect_target_states"):
        target = stage == "collect_target_states"
        length = sizes.config.targets.longest(sizes.config.model) if target else sizes.config.model.max_length
        return memory.evaluation(sizes.config, sizes.shape, max(1, sizes.config.gradients.token_budget // length), length)
    if stage == "measure_one_step":
        return memory.gradients(sizes.config, sizes.shape, sizes.config.model.max_length) + memory.HEADROOM * 8 * sizes.shape.parameters
    training = dict.fromkeys(("warm_up", "fine_tune", "retrain"), train)
    return {**training, "evaluate": score, "fine_tune_and_evaluate": max(train, score or 0)}.get(stage)


def peak_host_memory(sizes: Sizes, stage: str, gpu_memory: float | None) -> float | None:
    """Peak host memory of a job."""
    pool, training = sizes.pool.tokens, sizes.config.training
    if stage in ("prepare_pool", "decontaminate"):
        return host_memory.prepared(sizes.pool.rows, sizes.config.pool.deduplicate == "near")
    if gpu_memory is None:
        return None
    shard = pool * max(sizes.shard_rows) / sizes.pool.rows
    encoded = dict.fromkeys(("collect_pool_gradients", "collect_pool_states", "score_pool"), shard)
    encoded |= {"warm_up": pool * (1 if sizes.config.warmup.files else sizes.config.warmup.fraction)}
    encoded |= {"retrain": pool, "fine_tune": pool * sizes.largest_share, "fine_tune_and_evaluate": pool * sizes.largest_share}
    trains = stage in ("warm_up", "fine_tune", "fine_tune_and_evaluate", "retrain")
    processes = training.processes if trains else 1
    collects = stage.startswith(("collect_", "score_"))
    return host_memory.with_model(sizes.config, sizes.shape, encoded.get(stage, 0.0), gpu_memory, processes, trains, collects)


def _evaluation_memory(sizes: Sizes) -> float | None:
    peaks = [
        memory.evaluation(
            sizes.config,
            sizes.shape,
            sizes.config.suites[suite].batch_size,
            items.prompt + items.cap,
            sizes.config.suites[suite].quantisation or sizes.config.model.quantisation,
        )
        for suite, _ in evaluations(sizes.config)
        for items in sizes.items(suite)
    ]
    return max(peaks, default=None)
