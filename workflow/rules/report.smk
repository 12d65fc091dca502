rule report:
    """One HTML file that opens offline, and an RO-Crate that says how everything was made."""
    input:
        scores=plan.results("scores.csv"),
        summary=plan.results("summary.csv"),
        comparison=plan.results("comparison.csv"),
        stores=plan.all_stores(),
        runs=plan.all_runs("scores.parquet"),
        samples=plan.all_runs("samples.zarr"),
        training=plan.all_trainings("training.jsonl"),
        weights=plan.all_trainings("weights.pt"),
    output:
        report=report(
            plan.results("report.html"),
            caption="../report/report.rst",
            category="Report",
        ),
        crate=plan.results("ro-crate-metadata.json"),
        provenance=directory(plan.results("provenance")),
        figures=explained(plan.figures("svg"), "figure"),
        tables=explained(plan.figures("csv"), "table"),
        paper=plan.figure_files("pdf", "tex"),
    log:
        "logs/report/report.log",
    benchmark:
        "benchmarks/report/report.tsv"
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
        settings=plan.whole,
        runs=exactly(plan.all_runs()),
        stores=each("--store", "stores"),
        # not inputs: without a log or an image's record nothing is to be made again
        manifests=plan.manifests,
        images=site.image_folder,
        workflow=site.workflow_folder,
        engine=engine.version,
        figures=exactly(plan.results("figures")),
    message:
        "Write the report {output.report}; log: {log}"
    shell:
        "probunet report {params.runs:q} --settings {params.settings:q} {params.stores:q}"
        " --scores {input.scores:q} --summary {input.summary:q}"
        " --comparison {input.comparison:q} --output {output.report:q}"
        " --crate {output.crate:q} --logs logs --benchmarks benchmarks"
        " --images {params.images:q} {params.manifests:q} --workflow {params.workflow:q}"
        " --engine {params.engine} --figures {params.figures:q} &> {log:q}"
