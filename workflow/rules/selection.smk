rule rank:
    """Ranks the pool with a selector; budgets are prefixes of the ranking."""
    input:
        made_from=ranked_from,
    output:
        ranking=LAYOUT.ranking("{selector}", "{selection_seed}"),
        manifest=LAYOUT.ranking_manifest("{selector}", "{selection_seed}"),
    log:
        log_of("rank", "{selector}", "selection-{selection_seed}"),
    benchmark:
        benchmark_of("rank", "{selector}", "selection-{selection_seed}")
    priority: longest_first
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("rank")
    params:
        determined=determined("rank"),
        config=LAYOUT.config,
    shell:
        stage("rank", "--selector {wildcards.selector} --selection-seed {wildcards.selection_seed}")


rule select_budget:
    """Writes a ranking's prefix as a selection that is ready to train on."""
    input:
        ranking=LAYOUT.ranking("{selector}", "{selection_seed}"),
        pool=LAYOUT.pool_manifest,
        matrix=LAYOUT.matrix_manifest(MATRICES[0]),
    output:
        selection=LAYOUT.selection("{selector}", "{selection_seed}", "{budget}"),
        manifest=LAYOUT.selection_manifest("{selector}", "{selection_seed}", "{budget}"),
    log:
        log_of("select_budget", "{selector}", "selection-{selection_seed}", "budget-{budget}"),
    priority: longest_first
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("select_budget")
    params:
        config=LAYOUT.config,
    shell:
        stage("select_budget", "--selector {wildcards.selector} --selection-seed {wildcards.selection_seed} --budget {wildcards.budget}")
