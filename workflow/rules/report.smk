rule report:
    """One HTML file that opens offline, and beside it an RO-Crate that says how all was made."""
    input:
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
        crate=results("ro-crate-metadata.json"),
        provenance=directory(results("provenance")),
        figures=explained_figures("figure", "svg"),
        tables=explained_figures("table", "csv"),
        paper=[file for _, file, _ in figures("pdf", "tex")],
    log:
        "logs/report/report.log",
    benchmark:
        "benchmarks/report/report.tsv"
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
        runs=all_runs(),
        stores=store_options(),
        config=json.dumps(plan.whole()),
        title=plan.report.title,
        examples=plan.report.examples,
        megabytes=plan.report.megabytes,
        # not inputs: without a log or an image's record nothing is to be made again
        manifests=manifest_options(),
        images=image_records(),
        workflow=os.path.relpath(workflow.basedir),
        engine=ENGINE,
        figures=figures_folder,
    shell:
        "probunet report {params.runs:q} {params.stores:q} --scores {input.scores:q}"
        " --summary {input.summary:q} --comparison {input.comparison:q}"
        " --config {params.config:q} --title {params.title:q}"
        " --examples {params.examples} --megabytes {params.megabytes}"
        " --output {output.report:q} --crate {output.crate:q}"
        " --logs logs --benchmarks benchmarks --images {params.images:q}"
        " {params.manifests:q} --workflow {params.workflow:q} --engine {params.engine}"
        " --figures {params.figures:q}"
        " &> {log:q}"
