RUN_IN_LOG = ["{selector}", "selection-{selection_seed}", "budget-{budget}", "epochs-{epochs}", "seed-{seed}"]


rule fine_tune:
    """Fine-tunes a fresh adapter on a selection."""
    input:
        selection=LAYOUT.selection("{selector}", "{selection_seed}", "{budget}"),
        pool=LAYOUT.pool_manifest,
        base=base_files(),
    output:
        manifest=LAYOUT.run_manifest(RUN),
    log:
        log_of("fine_tune", *RUN_IN_LOG),
    benchmark:
        benchmark_of("fine_tune", *RUN_IN_LOG)
    priority: longest_first
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("fine_tune")
    resources:
        gpu=gpus(CONFIG.training.processes),
        cpus_per_task=cores("fine_tune", CONFIG.training.processes),
    params:
        determined=determined("fine_tune"),
        run=RUN.path,
        config=LAYOUT.config,
    shell:
        stage("fine_tune", "--run {params.run}", gpu=True)


rule fine_tune_and_evaluate:
    """Makes and evaluates all runs on a selector's selections in one process (jobs.runs: together); finished ones are kept."""
    input:
        selections=fold_selections,
        pool=LAYOUT.pool_manifest,
        targets=expand(LAYOUT.target_manifest("{task}"), task=TASKS),
        tests=test_files,
        base=base_files(),
    output:
        manifest=LAYOUT.fold_manifest("{selector}", "{selection_seed}"),
    log:
        log_of("fine_tune_and_evaluate", "{selector}", "selection-{selection_seed}"),
    benchmark:
        benchmark_of("fine_tune_and_evaluate", "{selector}", "selection-{selection_seed}")
    priority: longest_first
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("fine_tune_and_evaluate")
    resources:
        gpu=gpus(CONFIG.training.processes),
        cpus_per_task=cores("fine_tune_and_evaluate", CONFIG.training.processes),
    params:
        determined=determined("fine_tune"),
        evaluated=determined_evaluation,
        suites=fold_suites,
        runs=fold_runs,
        config=LAYOUT.config,
    shell:
        stage("fine_tune_and_evaluate", "--selector {wildcards.selector} --selection-seed {wildcards.selection_seed}", gpu=True)
