rule fit_curvature:
    """Fits what the estimator needs at an epoch before its rows can be made: curvature (ekfac) or kernel (trak)."""
    input:
        made_from=fit_inputs,
        checkpoint=LAYOUT.checkpoint_manifest("{epoch}"),
    output:
        manifest=PLACED.curvature_manifest("{epoch}"),
    log:
        log_of("fit_curvature", "{place}epoch-{epoch}"),
    benchmark:
        benchmark_of("fit_curvature", "{place}epoch-{epoch}")
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("fit_curvature")
    resources:
        gpu=fit_gpus,
        cpus_per_task=fit_cores,
    params:
        determined=determined_by("fit_curvature"),
        estimator=estimator_argument,
        config=LAYOUT.config,
    shell:
        stage("fit_curvature", "{params.estimator} --epochs {wildcards.epoch}", gpu=True)


rule choose_dimension:
    """Finds out by a pilot how many numbers of a gradient to keep (gradients.projection.dimension: auto)."""
    input:
        pool=LAYOUT.pool_manifest,
        targets=expand(LAYOUT.target_manifest("{task}"), task=TASKS),
        fitted=pilot_fitted,
        checkpoints=expand(LAYOUT.checkpoint_manifest("{epoch}"), epoch=experiment.gradient_epochs(CONFIG)),
    output:
        manifest=PLACED.projection_manifest,
    log:
        log_of("choose_dimension", *after_place("all")),
    benchmark:
        benchmark_of("choose_dimension", *after_place("all"))
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("choose_dimension")
    resources:
        gpu=gpus(1),
        cpus_per_task=cores("choose_dimension", 1),
    params:
        determined=determined_by("choose_dimension"),
        estimator=estimator_argument,
        config=LAYOUT.config,
    shell:
        stage("choose_dimension", "{params.estimator}", gpu=True)


rule collect_pool_gradients:
    """Collects the gradients of a shard's pool examples (Adam form) at epoch checkpoints."""
    input:
        pool=LAYOUT.pool_manifest,
        fitted=fitted_rows("pool"),
        needs=estimator_needs("pool"),
        projection=chosen_dimension,
        checkpoints=per_epoch(LAYOUT.checkpoint_manifest("{epoch}")),
    output:
        manifests=per_epoch(PLACED.pool_gradients_manifest("{epoch}", "{shard}")),
    log:
        log_of("collect_pool_gradients", *after_place(*EPOCH_IN_LOG, "shard-{shard}")),
    benchmark:
        benchmark_of("collect_pool_gradients", *after_place(*EPOCH_IN_LOG, "shard-{shard}"))
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("collect_pool_gradients")
    resources:
        gpu=gpus(CONFIG.jobs.gpus),
        cpus_per_task=cores("collect_pool_gradients", CONFIG.jobs.gpus),
        shard_slot=1,
    params:
        determined=determined_by("collect_pool_gradients"),
        estimator=estimator_argument,
        epochs=epochs_argument,
        config=LAYOUT.config,
    shell:
        stage("collect_pool_gradients", "{params.estimator} --epochs {params.epochs} --shard {wildcards.shard}", gpu=True)


rule collect_target_gradients:
    """Collects the gradients of validation examples (plain form) at epoch checkpoints."""
    input:
        needs=estimator_needs("target"),
        projection=chosen_dimension,
        fitted=fitted_rows("target"),
        targets=per_task(LAYOUT.target_manifest("{task}")),
        checkpoints=per_epoch(LAYOUT.checkpoint_manifest("{epoch}")),
    output:
        manifests=per_task(per_epoch(PLACED.target_gradients_manifest("{epoch}", "{task}"))),
    log:
        log_of("collect_target_gradients", *after_place(*EPOCH_IN_LOG, *TASK_IN_LOG)),
    benchmark:
        benchmark_of("collect_target_gradients", *after_place(*EPOCH_IN_LOG, *TASK_IN_LOG))
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("collect_target_gradients")
    resources:
        gpu=gpus(CONFIG.jobs.gpus),
        cpus_per_task=cores("collect_target_gradients", CONFIG.jobs.gpus),
    params:
        determined=determined_by("collect_target_gradients"),
        estimator=estimator_argument,
        epochs=epochs_argument,
        tasks=tasks_argument,
        config=LAYOUT.config,
    shell:
        stage("collect_target_gradients", "{params.estimator} --epochs {params.epochs} --tasks {params.tasks}", gpu=True)
