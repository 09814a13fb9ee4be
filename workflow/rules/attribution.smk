rule assemble_attribution:
    """Computes the matrix rows of one or several shards and their column moments."""
    input:
        pool=shard_gradients,
        targets=target_gradients,
        fitted=fitted_matrix,
        checkpoints=expand(LAYOUT.checkpoint_manifest("{epoch}"), epoch=EPOCHS),
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
        shards=expand(LAYOUT.matrix_shard_manifest("{matrix}", "{shard}"), shard=list(ASSEMBLED), allow_missing=True),
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
