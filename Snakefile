"""Table of contents of an equipoise experiment: configuration, stages, named targets.

snakemake --profile profiles/local          the embedded experiment (config.yaml)
snakemake --profile slurm --configfile workflow/experiments/llama3-8b.yaml
snakemake -n                                what would run;  snakemake -l  lists the rules
"""

from pathlib import Path

# A given --configfile stands alone: the miniature's config.yaml is no base for it.
if not workflow.config_settings.configfiles:

    configfile: "config.yaml" if Path("config.yaml").is_file() else f"{workflow.current_basedir}/config.yaml"


# Shards that share one submission run one after the other on its GPU (see profiles/slurm).
resource_scopes:
    shard_slot="local",


include: "workflow/rules/common.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/warm_up.smk"


if experiment.gradient_epochs(CONFIG):  # else no rows are collected (estimator matrix)

    include: "workflow/rules/gradients.smk"


include: "workflow/rules/states.smk"
include: "workflow/rules/attribution.smk"
include: "workflow/rules/validation.smk"
include: "workflow/rules/selection.smk"
include: "workflow/rules/fine_tune.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


onstart:  # of the snakemake that controls a run: its jobs are called with --no-hooks
    begin()


onsuccess:
    tell_end(CONFIG)


onerror:  # also after Ctrl-C
    tell_failure(CONFIG, shown=workflow.output_settings.show_failed_logs)


rule all:
    """The report: tables, figures and the page."""
    default_target: True
    input:
        report=list(map(str, rules.report.output)),  # with `rules.` in it, Snakemake compares all inputs with each other
        manifests=all_manifests(),
        results=report_inputs(),


rule matrix:
    """The sealed matrices alone."""
    input:
        manifests=all_manifests(),


rule selections:
    """Every selection, ready to train on."""
    input:
        selections=experiment.selections(CONFIG),
        manifests=all_manifests(),


rule validation:
    """What estimators of influence are worth on this experiment's data (config: validation.estimators)."""
    input:
        compared=something_to_validate,
