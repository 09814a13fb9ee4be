localrules:
    fetch,


rule fetch:
    """Brings base, pool and benchmark data from the hub into the local cache; every other stage runs offline."""
    output:
        manifest=LAYOUT.fetch_manifest,
    log:
        log_of("fetch"),
    conda:
        "../../envs/equipoise.yaml"
    params:
        determined=determined("fetch"),
        config=LAYOUT.config,
    shell:
        stage("fetch", offline=False)


if CONFIG.miniature:

    rule generate_miniature:
        """Generates the pool, validation and test data of the embedded experiment."""
        output:
            files=experiment.miniature_files(CONFIG),
        log:
            log_of("generate_miniature"),
        conda:
            "../../envs/equipoise.yaml"
        threads: threads_of("generate_miniature")
        params:
            determined=determined("generate_miniature"),
            config=LAYOUT.config,
        shell:
            stage("miniature generate")


rule decontaminate:
    """Finds rows of the pool's source that share 13 words in a row with a test item (pool.decontaminate)."""
    input:
        files=POOL_FILES,
        targets=expand(LAYOUT.target_manifest("{task}"), task=TASKS),
        base=base_files(),
    output:
        manifest=LAYOUT.contamination,
    log:
        log_of("decontaminate"),
    benchmark:
        benchmark_of("decontaminate")
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("decontaminate")
    params:
        determined=determined("decontaminate"),
        config=LAYOUT.config,
    shell:
        stage("decontaminate")


rule prepare_pool:
    """Reads the pool into one Parquet file with ids and token counts, and plans its shards."""
    input:
        files=POOL_FILES,
        contamination=LAYOUT.contamination if CONFIG.pool.decontaminate == "remove" else [],
        base=base_files(),
    output:
        pool=LAYOUT.pool,
        manifest=LAYOUT.pool_manifest,
    log:
        log_of("prepare_pool"),
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("prepare_pool")
    params:
        determined=determined("prepare_pool"),
        shards=CONFIG.pool.shards,
        config=LAYOUT.config,
    shell:
        stage("prepare_pool")


rule prepare_targets:
    """Draws the validation examples of the target tasks and the hold-outs of their evaluation."""
    input:
        files=task_files,
        base=base_files(),
    output:
        examples=per_task(LAYOUT.target("{task}")),
        manifests=per_task(LAYOUT.target_manifest("{task}")),
    log:
        log_of("prepare_targets", *TASK_IN_LOG),
    priority: 1  # it refuses lm-eval tasks that cannot be scored: before the warm-up, where there is a choice
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("prepare_targets")
    params:
        determined=determined_targets,
        names=tasks_argument,
        config=LAYOUT.config,
    shell:
        stage("prepare_targets", "--tasks {params.names}")
