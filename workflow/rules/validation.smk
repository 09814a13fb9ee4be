rule measure_one_step:
    """Takes single optimizer steps at an epoch, each on one pool row, and measures the losses of all validation examples after it."""
    input:
        pool=LAYOUT.pool_manifest,
        targets=expand(LAYOUT.target_manifest("{task}"), task=TASKS),
        checkpoint=LAYOUT.checkpoint_manifest("{epoch}"),
    output:
        manifest=LAYOUT.one_step_manifest("{epoch}"),
    log:
        log_of("measure_one_step", "epoch-{epoch}"),
    benchmark:
        benchmark_of("measure_one_step", "epoch-{epoch}")
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("measure_one_step")
    resources:
        gpu=gpus(1),
        cpus_per_task=cores("measure_one_step", 1),
    params:
        determined=determined("measure_one_step"),
        config=LAYOUT.config,
    shell:
        stage("measure_one_step", "--epochs {wildcards.epoch}", gpu=True)


RETRAINED_IN_LOG = ["{group}"] if CONFIG.jobs.runs == "together" else ["{group}", "{training}"]


rule retrain:
    """Fine-tunes on some rows and measures the losses of all validation examples: one retraining, or a group (jobs.runs: together)."""
    input:
        chosen_by=group_matrices,
        pool=LAYOUT.pool_manifest,
        targets=expand(LAYOUT.target_manifest("{task}"), task=TASKS),
        base=base_files(),
    output:
        manifest=LAYOUT.retraining_group("{group}") if CONFIG.jobs.runs == "together" else LAYOUT.retraining("{group}", "{training}"),
    log:
        log_of("retrain", *RETRAINED_IN_LOG),
    benchmark:
        benchmark_of("retrain", *RETRAINED_IN_LOG)
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("retrain")
    resources:
        gpu=gpus(CONFIG.training.processes),
        cpus_per_task=cores("retrain", CONFIG.training.processes),
    params:
        determined=determined_retrainings,
        training=training_argument,
        config=LAYOUT.config,
    shell:
        stage("retrain", "--group {wildcards.group} {params.training}", gpu=True)


rule validate_influence:
    """Compares estimators by what single steps and retrainings show; prints the table."""
    input:
        trials=trials(),
    output:
        manifest=LAYOUT.validation,
        points=LAYOUT.validation_points,
    log:
        log_of("validate_influence"),
    benchmark:
        benchmark_of("validate_influence")
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("validate_influence")
    params:
        determined=determined("validate_influence"),
        estimators=CONFIG.validation.estimators,
        config=LAYOUT.config,
    shell:
        stage("validate_influence")
