rule score_run:
    """GED and all other scores of one run's samples, per test image."""
    input:
        samples=plan.run("samples.zarr"),
        store=plan.store("{dataset}"),
    output:
        scores=plan.run("scores.parquet"),
    log:
        f"logs/score/{TEMPLATE}.log",
    benchmark:
        f"benchmarks/score/{TEMPLATE}.tsv"
    group:
        "evaluate"
    conda:
        "../../envs/data.yaml"
    container:
        plan.container("data")
    threads: 2
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=plan.settings("evaluation.n"),
    message:
        "Score {wildcards.model} on {wildcards.dataset}, beta {wildcards.beta},"
        " fold {wildcards.fold}, seed {wildcards.seed}; log: {log}"
    shell:
        "probunet score run --dataset {wildcards.dataset} --settings {params.settings:q}"
        " --samples {input.samples:q} --store {input.store:q}"
        " --output {output.scores:q} --threads {threads} &> {log:q}"


rule score_table:
    """All runs in one table; over folds with intervals; and pairs on the same patients."""
    input:
        scores=plan.all_runs("scores.parquet"),
    output:
        scores=report(
            plan.results("scores.csv"),
            caption="../report/scores.rst",
            category="Scores",
            labels={"table": "per fold"},
        ),
        summary=report(
            plan.results("summary.csv"),
            caption="../report/summary.rst",
            category="Scores",
            labels={"table": "over folds"},
        ),
        comparison=report(
            plan.results("comparison.csv"),
            caption="../report/comparison.rst",
            category="Scores",
            labels={"table": "pairs on the same patients"},
        ),
    log:
        "logs/score/table.log",
    benchmark:
        "benchmarks/score/table.tsv"
    group:
        "report"
    conda:
        "../../envs/data.yaml"
    container:
        plan.container("data")
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        bootstrap=plan.config.evaluation.bootstrap,
    message:
        "Collect the scores of all runs; log: {log}"
    shell:
        "probunet score table {input.scores:q} --bootstrap {params.bootstrap}"
        " --output {output.scores:q} --summary {output.summary:q}"
        " --comparison {output.comparison:q} &> {log:q}"
