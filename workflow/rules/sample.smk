rule sample:
    """Segmentation hypotheses for the fold's test images."""
    input:
        weights=plan.chosen_weights,
        store=plan.store("{dataset}"),
        folds=plan.results("{dataset}/folds.json"),
    output:
        samples=directory(plan.run("samples.zarr")),
    log:
        f"logs/sample/{TEMPLATE}.log",
    benchmark:
        f"benchmarks/sample/{TEMPLATE}.tsv"
    group:
        "evaluate"
    conda:
        "../../envs/torch.yaml"
    container:
        plan.container("torch")
    threads: 4
    resources:
        mem_mb=8000,
        runtime=120,
        # no parameter: a change does not repeat the step
        device=plan.config.device,
    params:
        weights=each("--weights", "weights"),
        settings=plan.settings(
            "intensity",
            "architecture",
            "model",
            "training.precision",
            "evaluation.crop",
            "evaluation.samples",
            "evaluation.sampling_steps",
        ),
    message:
        "Sample {wildcards.model} on {wildcards.dataset}, beta {wildcards.beta},"
        " fold {wildcards.fold}, seed {wildcards.seed}; log: {log}"
    shell:
        "probunet sample --dataset {wildcards.dataset} --settings {params.settings:q}"
        " {params.weights:q} --store {input.store:q} --folds {input.folds:q}"
        " --output {output.samples:q} --threads {threads}"
        " --device {resources.device} &> {log:q}"
