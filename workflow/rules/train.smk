rule train:
    """One model on one fold, with one beta and one seed; a restart resumes."""
    input:
        store=data("{dataset}.zarr"),
        folds=results("{dataset}/folds.json"),
    output:
        weights=run("weights.pt"),
        last=run("last.pt"),
        training=run("training.jsonl"),
    log:
        f"logs/train/{TEMPLATE}.log",
    benchmark:
        f"benchmarks/train/{TEMPLATE}.tsv"
    wildcard_constraints:
        model=TRAINED_WHOLE,
    conda:
        "../../envs/torch.yaml"
    container:
        image("torch")
    threads: 4
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=1440,
    params:
        # not an output: Snakemake deletes the outputs of a failed job
        checkpoint=run("checkpoint"),
        folder=run(""),
        settings=settings(
            "intensity",
            "architecture",
            "model",
            "augmentation",
            "training",
            "evaluation.crop",
        ),
    shell:
        "probunet train --store {input.store:q} --folds {input.folds:q}"
        " --output {params.folder:q} --checkpoint {params.checkpoint:q}"
        " --settings {params.settings:q} --threads {threads}"
        " --time-limit {resources.runtime} >> {log:q} 2>&1"


use rule train as train_member with:
    """One member of an ensemble."""
    output:
        weights=member("weights.pt"),
        last=member("last.pt"),
        training=member("training.jsonl"),
    log:
        f"logs/train/{MEMBER}.log",
    benchmark:
        f"benchmarks/train/{MEMBER}.tsv"
    wildcard_constraints:
        model=TRAINED_BY_MEMBER,
    params:
        checkpoint=member("checkpoint"),
        folder=member(""),
        settings=settings(
            "intensity", "architecture", "augmentation", "training", "evaluation.crop"
        ),
