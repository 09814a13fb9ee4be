rule check_base:
    """Tries base and tokenizer with all that later stages do to them, before anything is paid for."""
    input:
        base=base_files(),
    output:
        manifest=LAYOUT.base_manifest,
    log:
        log_of("check_base"),
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("check_base")
    params:
        determined=determined("check_base"),
        config=LAYOUT.config,
    shell:
        stage("check_base")


rule warm_up:
    """Warms up the selection model by one seed; leaves adapter and Adam moments of every epoch."""
    input:
        pool=[] if CONFIG.warmup.files else LAYOUT.pool_manifest,
        files=WARMUP_FILES,
        base=base_files(),
        checked=LAYOUT.base_manifest,
    output:
        manifests=expand(LAYOUT.checkpoint_manifest("{epoch}{further}"), epoch=range(1, CONFIG.warmup.epochs + 1), allow_missing=True),
    log:
        log_of("warm_up", "all{further}"),
    benchmark:
        benchmark_of("warm_up", "all{further}")
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("warm_up")
    resources:
        gpu=gpus(CONFIG.training.processes),
        cpus_per_task=cores("warm_up", CONFIG.training.processes),
    params:
        determined=determined("warm_up"),
        config=warm_up_config,
    shell:
        stage("warm_up", gpu=True)
