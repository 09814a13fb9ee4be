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


def something_to_report(wildcards):
    """The report's inputs; ends snakemake where nothing is evaluated, before any job. Selections and matrix can be asked for all the same."""
    if evaluations(CONFIG):
        return report_inputs()
    print(
        "error: tasks: none names a suite, so nothing is evaluated and there is nothing to report; write suite and lm_eval_tasks under a "
        "task and the suite under suites, or ask for the target selections or matrix",
        file=sys.stderr,
    )
    sys.exit(2)


rule report:
    """Writes scores, tables, figures and the page."""
    input:
        results=something_to_report,
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
        "{EQUIPOISE} report --config {params.config:q} 2> {log:q}"


rule figures:
    """Draws the report's figures anew, alone; runs whenever it is asked for."""
    input:
        results=something_to_report,
    log:
        log_of("figures"),
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("report")
    params:
        config=LAYOUT.config,
    shell:
        "{EQUIPOISE} figures --config {params.config:q} 2> {log:q}"
