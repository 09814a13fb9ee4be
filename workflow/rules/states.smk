rule score_pool:
    """Computes losses of a shard's pool responses under the untuned base, which some selectors rank by."""
    input:
        pool=LAYOUT.pool_manifest,
        base=base_files(),
    output:
        manifest=LAYOUT.pool_scores_manifest("{column}", "{shard}"),
    log:
        log_of("score_pool", "{column}", "shard-{shard}"),
    benchmark:
        benchmark_of("score_pool", "{column}", "shard-{shard}")
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("score_pool")
    resources:
        gpu=gpus(CONFIG.jobs.gpus),
        cpus_per_task=cores("score_pool", CONFIG.jobs.gpus),
        shard_slot=1,
    params:
        determined=determined("score_pool"),
        config=LAYOUT.config,
    shell:
        stage("score_pool", "--column {wildcards.column} --shard {wildcards.shard}", gpu=True)


rule collect_pool_states:
    """Collects states of a shard's pool examples at the first warm-up's last checkpoint, where no gradient store holds them."""
    input:
        pool=LAYOUT.pool_manifest,
        checkpoint=LAYOUT.checkpoint_manifest("{epoch}"),
    output:
        manifest=LAYOUT.pool_states_manifest("{epoch}", "{shard}"),
    log:
        log_of("collect_pool_states", "epoch-{epoch}", "shard-{shard}"),
    benchmark:
        benchmark_of("collect_pool_states", "epoch-{epoch}", "shard-{shard}")
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("collect_pool_states")
    resources:
        gpu=gpus(CONFIG.jobs.gpus),
        cpus_per_task=cores("collect_pool_states", CONFIG.jobs.gpus),
        shard_slot=1,
    params:
        determined=determined("collect_pool_states"),
        config=LAYOUT.config,
    shell:
        stage("collect_pool_states", "--shard {wildcards.shard}", gpu=True)


rule collect_target_states:
    """Collects states of a task's validation examples at the first warm-up's last checkpoint, by forward passes alone."""
    input:
        target=LAYOUT.target_manifest("{task}"),
        checkpoint=LAYOUT.checkpoint_manifest("{epoch}"),
    output:
        manifest=LAYOUT.target_states_manifest("{epoch}", "{task}"),
    log:
        log_of("collect_target_states", "epoch-{epoch}", "{task}"),
    benchmark:
        benchmark_of("collect_target_states", "epoch-{epoch}", "{task}")
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("collect_target_states")
    resources:
        gpu=gpus(CONFIG.jobs.gpus),
        cpus_per_task=cores("collect_target_states", CONFIG.jobs.gpus),
    params:
        determined=determined("collect_target_states"),
        config=LAYOUT.config,
    shell:
        stage("collect_target_states", "--tasks {wildcards.task}", gpu=True)
