rule fetch_lidc:
    """LIDC-IDRI's slices that carry outlines: checked in place, or rendered (synthetic)."""
    output:
        manifest=data("raw/lidc.manifest.json"),
    log:
        "logs/fetch/lidc.log",
    benchmark:
        "benchmarks/fetch/lidc.tsv"
    group:
        fetch_group()
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 2
    resources:
        mem_mb=4000,
        runtime=720,
    params:
        options=lidc_options(),
    shell:
        "probunet fetch lidc {params.options:q} --manifest {output.manifest:q} &> {log:q}"


rule fetch_cityscapes:
    """Cityscapes' pictures and labels: checked in place, or drawn (synthetic)."""
    output:
        manifest=data("raw/cityscapes.manifest.json"),
    log:
        "logs/fetch/cityscapes.log",
    benchmark:
        "benchmarks/fetch/cityscapes.tsv"
    group:
        fetch_group()
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 2
    resources:
        mem_mb=4000,
        runtime=720,
    params:
        options=cityscapes_options(),
    shell:
        "probunet fetch cityscapes {params.options:q} --manifest {output.manifest:q} &> {log:q}"
