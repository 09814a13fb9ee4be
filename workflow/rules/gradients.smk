rule fit_curvature:
    """Fits what the estimator needs at an epoch before its rows can be made: curvature (ekfac) or kernel (trak)."""
    input:
        made_from=experiment.fitted_from(CONFIG),
        checkpoint=LAYOUT.checkpoint_manifest("{epoch}"),
    output:
        manifest=LAYOUT.curvature_manifest("{epoch}"),
    log:
        log_of("fit_curvature", "epoch-{epoch}"),
    benchmark:
        benchmark_of("fit_curvature", "epoch-{epoch}")
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("fit_curvature")
    resources:
        gpu=gpus(experiment.fitting_gpus(CONFIG)),
        cpus_per_task=cores("fit_curvature", experiment.fitting_gpus(CONFIG)),
    params:
        determined=determined("fit_curvature"),
        config=LAYOUT.config,
    shell:
        stage("fit_curvature", "--epochs {wildcards.epoch}", gpu=True)


rule collect_pool_gradients:
    """Collects the gradients of a shard's pool examples (Adam form) at epoch checkpoints."""
    input:
        pool=LAYOUT.pool_manifest,
        fitted=per_epoch(experiment.fitted(CONFIG, "pool")),
        needs=estimator_needs("pool"),
        checkpoints=per_epoch(LAYOUT.checkpoint_manifest("{epoch}")),
    output:
        manifests=per_epoch(LAYOUT.pool_gradients_manifest("{epoch}", "{shard}")),
    log:
        log_of("collect_pool_gradients", *EPOCH_IN_LOG, "shard-{shard}"),
    benchmark:
        benchmark_of("collect_pool_gradients", *EPOCH_IN_LOG, "shard-{shard}")
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("collect_pool_gradients")
    resources:
        gpu=gpus(CONFIG.jobs.gpus),
        cpus_per_task=cores("collect_pool_gradients", CONFIG.jobs.gpus),
        shard_slot=1,
    params:
        determined=determined("collect_pool_gradients"),
        epochs=epochs_argument,
        config=LAYOUT.config,
    shell:
        stage("collect_pool_gradients", "--epochs {params.epochs} --shard {wildcards.shard}", gpu=True)


rule collect_target_gradients:
    """Collects the gradients of validation examples (plain form) at epoch checkpoints."""
    input:
        needs=estimator_needs("target"),
        fitted=per_epoch(experiment.fitted(CONFIG, "target")),
        targets=per_task(LAYOUT.target_manifest("{task}")),
        checkpoints=per_epoch(LAYOUT.checkpoint_manifest("{epoch}")),
    output:
        manifests=per_task(per_epoch(LAYOUT.target_gradients_manifest("{epoch}", "{task}"))),
    log:
        log_of("collect_target_gradients", *(EPOCH_IN_LOG + TASK_IN_LOG)),
    benchmark:
        benchmark_of("collect_target_gradients", *(EPOCH_IN_LOG + TASK_IN_LOG))
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("collect_target_gradients")
    resources:
        gpu=gpus(CONFIG.jobs.gpus),
        cpus_per_task=cores("collect_target_gradients", CONFIG.jobs.gpus),
    params:
        determined=determined("collect_target_gradients"),
        epochs=epochs_argument,
        tasks=tasks_argument,
        config=LAYOUT.config,
    shell:
        stage("collect_target_gradients", "--epochs {params.epochs} --tasks {params.tasks}", gpu=True)
