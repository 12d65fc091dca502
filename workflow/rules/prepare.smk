rule prepare_lidc:
    """Crops of protocol kohl2018 in one Zarr store."""
    input:
        manifest=data("raw/lidc.manifest.json"),
    output:
        store=directory(data("lidc.zarr")),
    log:
        "logs/prepare/lidc.log",
    benchmark:
        "benchmarks/prepare/lidc.tsv"
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
    shell:
        "probunet prepare lidc --manifest {input.manifest:q} --output {output.store:q}"
        " --workers {threads} --on-error {params.on_error} &> {log:q}"


rule prepare_cityscapes:
    """Scenes of one size in one Zarr store."""
    input:
        manifest=data("raw/cityscapes.manifest.json"),
    output:
        store=directory(data("cityscapes.zarr")),
    log:
        "logs/prepare/cityscapes.log",
    benchmark:
        "benchmarks/prepare/cityscapes.tsv"
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
    shell:
        "probunet prepare cityscapes --manifest {input.manifest:q} --output {output.store:q}"
        " --size {params.size} --workers {threads} --on-error {params.on_error} &> {log:q}"


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
