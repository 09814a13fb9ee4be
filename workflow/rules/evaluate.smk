rule evaluate:
    """Evaluates a run on a suite with lm-eval, hold-outs left out."""
    input:
        adapter=adapter_manifest,
        targets=expand(LAYOUT.target_manifest("{task}"), task=TASKS),
        base=base_files(),
    output:
        scores=LAYOUT.scores(RUN, "{suite}", "{suite_seed}"),
        samples=LAYOUT.samples(RUN, "{suite}", "{suite_seed}"),
    log:
        log_of("evaluate", *RUN_IN_LOG, "{suite}", "seed-{suite_seed}"),
    benchmark:
        benchmark_of("evaluate", *RUN_IN_LOG, "{suite}", "seed-{suite_seed}")
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("evaluate")
    resources:
        gpu=gpus(1),
        cpus_per_task=cores("evaluate", 1),
    params:
        determined=determined_evaluation,
        run=RUN.path,
        config=LAYOUT.config,
    shell:
        "EQUIPOISE_GPUS={resources.gpu} "
        "{EQUIPOISE} evaluate --config {params.config:q} --run {params.run} "
        "--suite {wildcards.suite} --suite-seed {wildcards.suite_seed} 2> {log:q}"
