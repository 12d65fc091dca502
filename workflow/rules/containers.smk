rule image:
    """The container image of a kind of step, with this version of the package inside."""
    input:
        recipe=site.image_recipe,
    output:
        image="containers/{kind}.sif",
        record="containers/{kind}.json",
    log:
        "logs/image/{kind}.log",
    benchmark:
        "benchmarks/image/{kind}.tsv"
    wildcard_constraints:
        kind="data|torch",
    conda:
        "../../envs/image.yaml"
    container:
        None
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        project=exactly(workflow.basedir),
        source=site.image_source,
        options=site.image_options,
    message:
        "Build the container image {output.image}; log: {log}"
    shell:
        "probunet image {wildcards.kind} --project {params.project:q} {params.options:q}"
        " --output {output.image:q} &> {log:q}"


rule images:
    """Both images: `make images`, on a machine with network, before the cluster needs them."""
    input:
        expand("containers/{kind}.sif", kind=["data", "torch"]),
