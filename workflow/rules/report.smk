rule report:
    """One HTML file that opens offline: what was run, tables, curves, samples."""
    input:
        image=built("data"),
        scores=results("scores.csv"),
        summary=results("summary.csv"),
        comparison=results("comparison.csv"),
        stores=[data(f"{dataset}.zarr") for dataset in STUDIES],
        runs=all_runs("scores.parquet"),
        samples=all_runs("samples.zarr"),
        training=all_trainings("training.jsonl"),
        weights=all_trainings("weights.pt"),
    output:
        report=report(
            results("report.html"),
            caption="../report/report.rst",
            category="Report",
        ),
    log:
        "logs/report/report.log",
    benchmark:
        "benchmarks/report/report.tsv"
    conda:
        "../../envs/data.yaml"
    container:
        image("data")
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        runs=all_runs(),
        stores=store_options(),
        config=plan.model_dump_json(exclude_none=True),
        title=plan.report.title,
        examples=plan.report.examples,
    shell:
        "probunet report {params.runs:q} {params.stores:q} --scores {input.scores:q}"
        " --summary {input.summary:q} --comparison {input.comparison:q}"
        " --config {params.config:q} --title {params.title:q}"
        " --examples {params.examples} --output {output.report:q} &> {log:q}"
