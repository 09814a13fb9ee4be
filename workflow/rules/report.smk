from equipoise.reporting.catalogue import PAGE, SCORES, results


def annotated(result):
    """A result's displayed file, with what `snakemake --report` shows beside it."""
    path = f"{LAYOUT.report}/{result.files[0]}"
    return report(path, caption=f"../{result.caption}", category=result.category, labels=result.labels)


def further_files():
    """The other formats of every result."""
    return [f"{LAYOUT.report}/{file}" for result in results(CONFIG) for file in result.files[1:]]


def report_inputs():
    """All that the report is made from."""
    return [
        *all_scores(),
        *all_selections(),
        *expand(LAYOUT.matrix_manifest("{matrix}"), matrix=matrices()),
        LAYOUT.pool_manifest,
        *(score_files(SECOND_MODEL) if SECOND_MODEL else []),
        *contamination(),
    ]


rule report:
    """Writes scores, tables, figures and the page."""
    input:
        results=report_inputs(),
    output:
        page=report(
            f"{LAYOUT.report}/{PAGE}", caption="../report/page.rst", category="Report", labels={"result": "The page", "kind": "page"}
        ),
        scores=report(
            f"{LAYOUT.report}/{SCORES}", caption="../report/scores.rst", category="Scores", labels={"result": "All scores", "kind": "data"}
        ),
        shown=[annotated(result) for result in results(CONFIG)],
        further=further_files(),
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


rule figures:
    """Draws the report's figures anew, alone; runs whenever it is asked for."""
    input:
        results=report_inputs(),
    log:
        log_of("figures"),
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("report")
    params:
        config=LAYOUT.config,
    shell:
        "{EQUIPOISE} figures --config {params.config} 2> {log}"
