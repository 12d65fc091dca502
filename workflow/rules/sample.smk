rule sample:
    """Segmentation hypotheses for the fold's test images."""
    input:
        weights=chosen_weights,
        store=data("{dataset}.zarr"),
        folds=results("{dataset}/folds.json"),
    output:
        samples=directory(run("samples.zarr")),
    log:
        f"logs/sample/{TEMPLATE}.log",
    benchmark:
        f"benchmarks/sample/{TEMPLATE}.tsv"
    group:
        "evaluate"
    conda:
        "../../envs/torch.yaml"
    container:
        image("torch")
    threads: 4
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        weights=weights_options,
        settings=settings(
            "intensity",
            "architecture",
            "model",
            "training.precision",
            "evaluation.crop",
            "evaluation.samples",
        ),
    shell:
        "probunet sample {params.weights:q} --store {input.store:q}"
        " --folds {input.folds:q} --output {output.samples:q}"
        " --settings {params.settings:q} --threads {threads} &> {log:q}"
