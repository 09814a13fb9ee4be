rule assemble_attribution:
    """Computes the matrix rows of one or several shards and their column moments."""
    input:
        made_from=assembled_from,
    output:
        manifest=LAYOUT.matrix_shard_manifest("{matrix}", "{shard}"),
    log:
        log_of("assemble_attribution", "{matrix}", "shard-{shard}"),
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("assemble_attribution")
    params:
        tasks=TASKS,
        config=LAYOUT.config,
    shell:
        stage("assemble_attribution", "--matrix {wildcards.matrix} --shard {wildcards.shard}")


rule seal_attribution:
    """Checks that all rows of a matrix are there and merges the column moments."""
    input:
        shards=sealed_shards,
    output:
        manifest=LAYOUT.matrix_manifest("{matrix}"),
    log:
        log_of("seal_attribution", "{matrix}"),
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("seal_attribution")
    params:
        tasks=TASKS,
        config=LAYOUT.config,
    shell:
        stage("seal_attribution", "--matrix {wildcards.matrix}")


if collecting.is_predicted(CONFIG):

    rule fit_influence_model:
        """Fits the model that predicts influence from states on the sampled rows' influence (estimator mates)."""
        input:
            made_from=[KINDS[kind].manifest(LAYOUT, its) for kind, its in KINDS["influence_model"].inputs(CONFIG, {})],
        output:
            model=LAYOUT.influence_model,
            manifest=LAYOUT.influence_model_manifest,
        log:
            log_of("fit_influence_model"),
        benchmark:
            benchmark_of("fit_influence_model")
        conda:
            "../../envs/equipoise.yaml"
        threads: threads_of("fit_influence_model")
        params:
            determined=determined("fit_influence_model"),
            config=LAYOUT.config,
        shell:
            stage("fit_influence_model")
