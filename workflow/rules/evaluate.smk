rule evaluate:
    """Evaluates a run on a suite, hold-outs left out: with lm-eval, or by held-out loss."""
    input:
        adapter=adapter_manifest,
        targets=expand(LAYOUT.target_manifest("{task}"), task=TASKS),
        tests=test_files,
        base=base_files(),
    output:
        scores=LAYOUT.scores(RUN, "{suite}", "{part}"),
        samples=LAYOUT.samples(RUN, "{suite}", "{part}"),
    log:
        log_of("evaluate", *RUN_IN_LOG, "{suite}", "{part}"),
    benchmark:
        benchmark_of("evaluate", *RUN_IN_LOG, "{suite}", "{part}")
    priority: longest_first
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("evaluate")
    resources:
        gpu=gpus(CONFIG.jobs.gpus),
        cpus_per_task=cores("evaluate", CONFIG.jobs.gpus),
    params:
        determined=determined_evaluation,
        run=RUN.path,
        part=part_argument,
        config=LAYOUT.config,
    shell:
        stage("evaluate", "--run {params.run} --suite {wildcards.suite} {params.part}", gpu=True)
