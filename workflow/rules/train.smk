rule train:
    """One model on one fold, with one beta and one seed; a restart resumes."""
    input:
        store=plan.store("{dataset}"),
        folds=plan.results("{dataset}/folds.json"),
    output:
        weights=plan.run("weights.pt"),
        last=plan.run("last.pt"),
        training=plan.run("training.jsonl"),
    log:
        f"logs/train/{TEMPLATE}.log",
    benchmark:
        f"benchmarks/train/{TEMPLATE}.tsv"
    wildcard_constraints:
        model=plan.single_models,
    conda:
        "../../envs/torch.yaml"
    container:
        plan.container("torch")
    threads: 4
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=1440,
        # no parameters: a change does not repeat the step
        device=plan.config.device,
        data=plan.training_data,
    params:
        # not an output: Snakemake deletes the outputs of a failed job
        checkpoint=plan.run("checkpoint"),
        folder=plan.run(""),
        settings=plan.settings(
            "intensity",
            "architecture",
            "model",
            "augmentation",
            "training",
            "evaluation.crop",
        ),
    message:
        "Train {wildcards.model} on {wildcards.dataset}, beta {wildcards.beta},"
        " fold {wildcards.fold}, seed {wildcards.seed}; log: {log}"
    shell:
        "probunet train --dataset {wildcards.dataset} --settings {params.settings:q}"
        " --store {input.store:q} --folds {input.folds:q} --output {params.folder:q}"
        " --checkpoint {params.checkpoint:q} --threads {threads}"
        " --device {resources.device} --data {resources.data}"
        " --time-limit {resources.runtime} >> {log:q} 2>&1"


use rule train as train_member with:
    """One member of an ensemble."""
    output:
        weights=plan.member("weights.pt"),
        last=plan.member("last.pt"),
        training=plan.member("training.jsonl"),
    log:
        f"logs/train/{MEMBER}.log",
    benchmark:
        f"benchmarks/train/{MEMBER}.tsv"
    wildcard_constraints:
        model=plan.ensembles,
    params:
        checkpoint=plan.member("checkpoint"),
        folder=plan.member(""),
        settings=plan.settings(
            "intensity", "architecture", "augmentation", "training", "evaluation.crop"
        ),
    message:
        "Train member {wildcards.member} of {wildcards.model} on {wildcards.dataset},"
        " fold {wildcards.fold}, seed {wildcards.seed}; log: {log}"
