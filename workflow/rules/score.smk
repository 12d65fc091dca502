rule score_run:
    """GED and all other scores of one run's samples, per test image."""
    input:
        samples=run("samples.zarr"),
        store=data("{dataset}.zarr"),
    output:
        scores=run("scores.parquet"),
    log:
        f"logs/score/{TEMPLATE}.log",
    benchmark:
        f"benchmarks/score/{TEMPLATE}.tsv"
    group:
        "evaluate"
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 2
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        n=n_options,
    shell:
        "probunet score run --samples {input.samples:q} --store {input.store:q}"
        " {params.n} --output {output.scores:q} &> {log:q}"


rule score_table:
    """All runs in one table; over folds with intervals; and pairs on the same patients."""
    input:
        scores=all_runs("scores.parquet"),
    output:
        scores=report(
            results("scores.csv"),
            caption="../report/scores.rst",
            category="Scores",
            labels={"table": "per fold"},
        ),
        summary=report(
            results("summary.csv"),
            caption="../report/summary.rst",
            category="Scores",
            labels={"table": "over folds"},
        ),
        comparison=report(
            results("comparison.csv"),
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
        image("data")
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        bootstrap=plan.evaluation.bootstrap,
    shell:
        "probunet score table {input.scores:q} --bootstrap {params.bootstrap}"
        " --output {output.scores:q} --summary {output.summary:q}"
        " --comparison {output.comparison:q} &> {log:q}"
