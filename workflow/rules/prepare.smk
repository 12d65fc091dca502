rule prepare_part:
    """Some of a data set's images: what one of several jobs makes of them."""
    input:
        manifest=plan.manifest("{dataset}"),
    output:
        part=temp(directory(plan.data("{dataset}.parts/{part}-of-{parts}.zarr"))),
    log:
        "logs/prepare/{dataset}.{part}-of-{parts}.log",
    benchmark:
        "benchmarks/prepare/{dataset}.{part}-of-{parts}.tsv"
    conda:
        "../../envs/data.yaml"
    container:
        plan.container("data")
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
        # no parameter: another architecture does not repeat the step
        multiple_of=plan.multiple_of,
    params:
        settings=plan.settings(source="prepare", without="on_error"),
    message:
        "Prepare part {wildcards.part} of {wildcards.parts} of {wildcards.dataset}; log: {log}"
    shell:
        "probunet prepare --dataset {wildcards.dataset} --settings {params.settings:q}"
        " --manifest {input.manifest:q} --output {output.part:q}"
        " --multiple-of {resources.multiple_of} --workers {threads}"
        " --part {wildcards.part} --parts {wildcards.parts} &> {log:q}"


rule prepare:
    """A data set's images and what is true of them in one Zarr store."""
    input:
        manifest=plan.manifest("{dataset}"),
        parts=plan.prepare_parts,
    output:
        store=directory(plan.store("{dataset}")),
    log:
        "logs/prepare/{dataset}.log",
    benchmark:
        "benchmarks/prepare/{dataset}.tsv"
    group:
        "prepare"
    conda:
        "../../envs/data.yaml"
    container:
        plan.container("data")
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
        multiple_of=plan.multiple_of,
    params:
        settings=plan.settings(source="prepare"),
        join=each("--join", "parts"),
    message:
        "Prepare {wildcards.dataset}; log: {log}"
    shell:
        "probunet prepare --dataset {wildcards.dataset} --settings {params.settings:q}"
        " --manifest {input.manifest:q} --output {output.store:q} {params.join:q}"
        " --multiple-of {resources.multiple_of} --workers {threads} &> {log:q}"


rule folds:
    """Folds over patients, cities or subjects, each of whom is in one part of a fold."""
    input:
        store=plan.store("{dataset}"),
        file=plan.folds_file,
    output:
        folds=plan.results("{dataset}/folds.json"),
    log:
        "logs/prepare/{dataset}.folds.log",
    benchmark:
        "benchmarks/prepare/{dataset}.folds.tsv"
    group:
        "prepare"
    conda:
        "../../envs/data.yaml"
    container:
        plan.container("data")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=plan.settings("folds", source="folds"),
    message:
        "Divide {wildcards.dataset} into folds; log: {log}"
    shell:
        "probunet folds --dataset {wildcards.dataset} --settings {params.settings:q}"
        " --store {input.store:q} --output {output.folds:q} &> {log:q}"
