rule assemble_attribution:
    """Computes the matrix rows of one or several shards and their column moments."""
    input:
        made_from=assembled_from,
    output:
        manifest=PLACED.matrix_shard_manifest("{matrix}", "{shard}"),
    log:
        log_of("assemble_attribution", "{place}{matrix}", "shard-{shard}"),
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("assemble_attribution")
    params:
        tasks=TASKS,
        estimator=estimator_argument,
        config=LAYOUT.config,
    shell:
        stage("assemble_attribution", "{params.estimator} --matrix {wildcards.matrix} --shard {wildcards.shard}")


rule seal_attribution:
    """Checks that all rows of a matrix are there and merges the column moments."""
    input:
        shards=sealed_shards,
    output:
        manifest=PLACED.matrix_manifest("{matrix}"),
    log:
        log_of("seal_attribution", "{place}{matrix}"),
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("seal_attribution")
    params:
        tasks=TASKS,
        estimator=estimator_argument,
        config=LAYOUT.config,
    shell:
        stage("seal_attribution", "{params.estimator} --matrix {wildcards.matrix}")


rule fit_influence_model:
    """Fits the model that predicts influence from states on the sampled rows' influence (estimator mates)."""
    input:
        made_from=influence_model_from,
    output:
        model=PLACED.influence_model,
        manifest=PLACED.influence_model_manifest,
    log:
        log_of("fit_influence_model", *after_place("all")),
    benchmark:
        benchmark_of("fit_influence_model", *after_place("all"))
    conda:
        "../../envs/equipoise.yaml"
    threads: threads_of("fit_influence_model")
    params:
        determined=determined_by("fit_influence_model"),
        estimator=estimator_argument,
        config=LAYOUT.config,
    shell:
        stage("fit_influence_model", "{params.estimator}")
