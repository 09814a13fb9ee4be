rule report:
    """Writes scores, tables, figures and the page."""
    input:
        scores=all_scores(),
        selections=all_selections(),
        matrices=expand(LAYOUT.matrix_manifest("{matrix}"), matrix=matrices()),
        pool=LAYOUT.pool_manifest,
    output:
        page=f"{LAYOUT.report}/index.html",
        scores=f"{LAYOUT.report}/scores.csv",
    log:
        log_of("report"),
    benchmark:
        benchmark_of("report")
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("report")
    params:
        runs=[run.path for run in experiment_runs(CONFIG)],
        tasks={name: task.capability for name, task in CONFIG.tasks.items()},
        config=LAYOUT.config,
    shell:
        "{EQUIPOISE} report --config {params.config} 2> {log}"
