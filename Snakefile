"""The Probabilistic U-Net: fetch, prepare, train, sample, score, report."""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/containers.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/report.smk"


localrules:
    image,
    images,
    all,


rule all:
    """The report and the tables of the study that the configuration describes."""
    default_target: True
    input:
        plan.results("report.html"),
        plan.results("ro-crate-metadata.json"),
        plan.results("scores.csv"),
        plan.results("summary.csv"),
        plan.results("comparison.csv"),
