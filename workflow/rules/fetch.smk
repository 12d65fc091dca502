rule fetch_part:
    """A part of a data set's images: what one of several jobs downloads."""
    input:
        files=plan.fetch_inputs,
    output:
        # The images are no output: Snakemake removes the outputs of a job that failed, but a
        # download resumes.
        manifest=temp(plan.data("raw/{dataset}.parts/{part}-of-{parts}.manifest.json")),
    log:
        "logs/fetch/{dataset}.{part}-of-{parts}.log",
    benchmark:
        "benchmarks/fetch/{dataset}.{part}-of-{parts}.tsv"
    localrule: plan.config.fetch.here
    conda:
        "../../envs/data.yaml"
    container:
        plan.container("data")
    threads: 2
    resources:
        mem_mb=4000,
        runtime=720,
        # How to download is no parameter: a change does not repeat the step, and
        # `--resources connections=64` is a cap on all downloads together.
        connections=plan.config.fetch.connections,
        megabytes_per_second=plan.config.fetch.megabytes_per_second,
        retries=plan.config.fetch.retries,
        timeout=plan.config.fetch.timeout,
    params:
        folder=plan.data("raw/{dataset}"),
        settings=plan.settings(source="fetch"),
    message:
        "Download part {wildcards.part} of {wildcards.parts} of {wildcards.dataset}; log: {log}"
    shell:
        "probunet fetch --dataset {wildcards.dataset} --settings {params.settings:q}"
        " --folder {params.folder:q} --manifest {output.manifest:q}"
        " --part {wildcards.part} --parts {wildcards.parts}"
        " --connections {resources.connections}"
        " --megabytes-per-second {resources.megabytes_per_second}"
        " --retries {resources.retries} --timeout {resources.timeout}"
        " --workers {threads} &> {log:q}"


rule download:
    """A data set that this machine downloads, because nodes may have no outside network."""
    input:
        files=plan.fetch_inputs,
        parts=plan.fetch_parts,
    output:
        manifest=plan.manifest("{dataset}"),
    log:
        "logs/fetch/{dataset}.log",
    benchmark:
        "benchmarks/fetch/{dataset}.tsv"
    wildcard_constraints:
        dataset=plan.downloaded_here,
    localrule: True
    conda:
        "../../envs/data.yaml"
    container:
        plan.container("data")
    threads: 2
    resources:
        mem_mb=4000,
        runtime=720,
        connections=plan.config.fetch.connections,
        megabytes_per_second=plan.config.fetch.megabytes_per_second,
        retries=plan.config.fetch.retries,
        timeout=plan.config.fetch.timeout,
    params:
        folder=plan.data("raw/{dataset}"),
        settings=plan.settings(source="fetch"),
        join=each("--join", "parts"),
    message:
        "Download {wildcards.dataset}; log: {log}"
    shell:
        "probunet fetch --dataset {wildcards.dataset} --settings {params.settings:q}"
        " --folder {params.folder:q} --manifest {output.manifest:q} {params.join:q}"
        " --connections {resources.connections}"
        " --megabytes-per-second {resources.megabytes_per_second}"
        " --retries {resources.retries} --timeout {resources.timeout}"
        " --workers {threads} &> {log:q}"


# from `download`, and not the other way round: a group cannot be taken from a rule
use rule download as fetch with:
    """A data set whose images a job downloads, renders, or checks in place."""
    wildcard_constraints:
        dataset=plan.fetched_by_jobs,
    group:
        plan.fetch_group
    localrule: False
    message:
        "Fetch {wildcards.dataset}; log: {log}"
