rule fetch_lidc_part:
    """A share of LIDC-IDRI's series: what one of several jobs downloads."""
    output:
        # The slices below data/raw/lidc are none: Snakemake removes the outputs of a job that
        # failed, and a download goes on where it was.
        manifest=temp(data("raw/lidc.parts/{part}-of-{parts}.manifest.json")),
    log:
        "logs/fetch/lidc.{part}-of-{parts}.log",
    benchmark:
        "benchmarks/fetch/lidc.{part}-of-{parts}.tsv"
    wildcard_constraints:
        part=r"\d+",
        parts=r"\d+",
    localrule: is_fetched_here("lidc")
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 2
    resources:
        mem_mb=4000,
        runtime=720,
        # How to download is no parameter: it does not repeat the step when it changes, and
        # `--resources connections=64` is a cap on all downloads together.
        connections=plan.fetch.connections,
        megabytes_per_second=plan.fetch.megabytes_per_second,
        retries=plan.fetch.retries,
        timeout=plan.fetch.timeout,
    params:
        options=lidc_options(),
    shell:
        "probunet fetch lidc {params.options:q} --manifest {output.manifest:q}"
        " --part {wildcards.part} --parts {wildcards.parts}"
        " --connections {resources.connections}"
        " --megabytes-per-second {resources.megabytes_per_second}"
        " --retries {resources.retries} --timeout {resources.timeout} &> {log:q}"


rule fetch_lidc:
    """LIDC-IDRI's slices that carry outlines: downloaded, checked in place, or rendered."""
    input:
        parts=fetched_parts(),
    output:
        manifest=data("raw/lidc.manifest.json"),
    log:
        "logs/fetch/lidc.log",
    benchmark:
        "benchmarks/fetch/lidc.tsv"
    group:
        fetch_group("lidc")
    localrule: is_fetched_here("lidc")
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 2
    resources:
        mem_mb=4000,
        runtime=720,
        connections=plan.fetch.connections,
        megabytes_per_second=plan.fetch.megabytes_per_second,
        retries=plan.fetch.retries,
        timeout=plan.fetch.timeout,
    params:
        options=lidc_options(),
        join=join_options,
    shell:
        "probunet fetch lidc {params.options:q} {params.join:q} --manifest {output.manifest:q}"
        " --connections {resources.connections}"
        " --megabytes-per-second {resources.megabytes_per_second}"
        " --retries {resources.retries} --timeout {resources.timeout} &> {log:q}"


rule fetch_cityscapes:
    """Cityscapes' pictures and labels: downloaded, checked in place, or drawn (synthetic)."""
    output:
        manifest=data("raw/cityscapes.manifest.json"),
    log:
        "logs/fetch/cityscapes.log",
    benchmark:
        "benchmarks/fetch/cityscapes.tsv"
    group:
        fetch_group("cityscapes")
    localrule: is_fetched_here("cityscapes")
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 2
    resources:
        mem_mb=4000,
        runtime=720,
        connections=plan.fetch.connections,
        megabytes_per_second=plan.fetch.megabytes_per_second,
        retries=plan.fetch.retries,
        timeout=plan.fetch.timeout,
    params:
        options=cityscapes_options(),
    shell:
        "probunet fetch cityscapes {params.options:q} --manifest {output.manifest:q}"
        " --connections {resources.connections}"
        " --megabytes-per-second {resources.megabytes_per_second}"
        " --retries {resources.retries} --timeout {resources.timeout} &> {log:q}"


rule fetch_folder:
    """Images of one's own: checked in place, and never copied."""
    input:
        table=own_table,
    output:
        manifest=data("raw/{dataset}.manifest.json"),
    log:
        "logs/fetch/{dataset}.log",
    benchmark:
        "benchmarks/fetch/{dataset}.tsv"
    wildcard_constraints:
        dataset=OWN,
    group:
        FETCH_GROUP
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 2
    resources:
        mem_mb=4000,
        runtime=720,
    params:
        options=own_options,
    shell:
        "probunet fetch folder {params.options:q} --manifest {output.manifest:q} &> {log:q}"
