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
        determined=determined("report"),
        runs=[run.path for run in experiment.experiment_runs(CONFIG)],
        config=LAYOUT.config,
    shell:
        stage("report")


rule report_partial:
    """Makes tables and page of what is finished, once the first selectors have run; no part of `all`: ask for it beside it."""
    input:
        first=something_early,
    output:
        page=f"{LAYOUT.partial_report}/{PAGE}",
    log:
        log_of("report_partial"),
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("report")
    params:
        determined=determined("report"),
        config=LAYOUT.config,
    shell:
        stage("report", "--partial")


rule figures:
    """Draws the report's figures again, and nothing else; runs whenever it is asked for."""
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
        stage("figures")
