rule prepare_lidc_part:
    """Some of the crops: what one of several jobs makes of them."""
    input:
        manifest=data("raw/lidc.manifest.json"),
    output:
        part=temp(directory(data("lidc.parts/{part}-of-{parts}.zarr"))),
    log:
        "logs/prepare/lidc.{part}-of-{parts}.log",
    benchmark:
        "benchmarks/prepare/lidc.{part}-of-{parts}.tsv"
    wildcard_constraints:
        part=r"\d+",
        parts=r"\d+",
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
    shell:
        "probunet prepare lidc --manifest {input.manifest:q} --output {output.part:q}"
        " --workers {threads} --part {wildcards.part} --parts {wildcards.parts} &> {log:q}"


rule prepare_lidc:
    """Crops of protocol kohl2018 in one Zarr store."""
    input:
        manifest=data("raw/lidc.manifest.json"),
        parts=parts_of("lidc"),
    output:
        store=directory(data("lidc.zarr")),
    log:
        "logs/prepare/lidc.log",
    benchmark:
        "benchmarks/prepare/lidc.tsv"
    group:
        "prepare"
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        on_error=on_error("lidc"),
        join=join_options,
    shell:
        "probunet prepare lidc --manifest {input.manifest:q} --output {output.store:q}"
        " --workers {threads} --on-error {params.on_error}"
        " {params.join:q} &> {log:q}"


rule prepare_cityscapes_part:
    """Some of the scenes: what one of several jobs makes of them."""
    input:
        manifest=data("raw/cityscapes.manifest.json"),
    output:
        part=temp(directory(data("cityscapes.parts/{part}-of-{parts}.zarr"))),
    log:
        "logs/prepare/cityscapes.{part}-of-{parts}.log",
    benchmark:
        "benchmarks/prepare/cityscapes.{part}-of-{parts}.tsv"
    wildcard_constraints:
        part=r"\d+",
        parts=r"\d+",
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        size=scene_size(),
    shell:
        "probunet prepare cityscapes --manifest {input.manifest:q} --output {output.part:q}"
        " --size {params.size} --workers {threads} --part {wildcards.part} --parts {wildcards.parts} &> {log:q}"


rule prepare_cityscapes:
    """Scenes of one size in one Zarr store."""
    input:
        manifest=data("raw/cityscapes.manifest.json"),
        parts=parts_of("cityscapes"),
    output:
        store=directory(data("cityscapes.zarr")),
    log:
        "logs/prepare/cityscapes.log",
    benchmark:
        "benchmarks/prepare/cityscapes.tsv"
    group:
        "prepare"
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        size=scene_size(),
        on_error=on_error("cityscapes"),
        join=join_options,
    shell:
        "probunet prepare cityscapes --manifest {input.manifest:q} --output {output.store:q}"
        " --size {params.size} --workers {threads} --on-error {params.on_error}"
        " {params.join:q} &> {log:q}"


rule prepare_folder_part:
    """Some of one's own images: what one of several jobs makes of them."""
    input:
        manifest=data("raw/{dataset}.manifest.json"),
    output:
        part=temp(directory(data("{dataset}.parts/{part}-of-{parts}.zarr"))),
    log:
        "logs/prepare/{dataset}.{part}-of-{parts}.log",
    benchmark:
        "benchmarks/prepare/{dataset}.{part}-of-{parts}.tsv"
    wildcard_constraints:
        dataset=OWN,
        part=r"\d+",
        parts=r"\d+",
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
        multiple_of=own_stride,
    params:
        form=own_form,
    shell:
        "probunet prepare folder --manifest {input.manifest:q} --output {output.part:q}"
        " {params.form} --multiple-of {resources.multiple_of} --workers {threads}"
        " --part {wildcards.part} --parts {wildcards.parts} &> {log:q}"


rule prepare_folder:
    """One's own images and masks, of one size, in one Zarr store."""
    input:
        manifest=data("raw/{dataset}.manifest.json"),
        parts=own_parts,
    output:
        store=directory(data("{dataset}.zarr")),
    log:
        "logs/prepare/{dataset}.log",
    benchmark:
        "benchmarks/prepare/{dataset}.tsv"
    wildcard_constraints:
        dataset=OWN,
    group:
        "prepare"
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
        # no parameter: another architecture does not repeat the step
        multiple_of=own_stride,
    params:
        form=own_form,
        on_error=own_on_error,
        join=join_options,
    shell:
        "probunet prepare folder --manifest {input.manifest:q} --output {output.store:q}"
        " {params.form} --multiple-of {resources.multiple_of} --workers {threads}"
        " --on-error {params.on_error} {params.join:q} &> {log:q}"


rule prepare_folds:
    """Folds over subjects; nobody stands on two sides."""
    input:
        store=data("{dataset}.zarr"),
        given=given_folds,
    output:
        folds=results("{dataset}/folds.json"),
    log:
        "logs/prepare/{dataset}.folds.log",
    benchmark:
        "benchmarks/prepare/{dataset}.folds.tsv"
    group:
        "prepare"
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        options=folds_options,
    shell:
        "probunet prepare folds --store {input.store:q} {params.options:q}"
        " --output {output.folds:q} &> {log:q}"
