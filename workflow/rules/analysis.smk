rule analyse:
    input:
        RESULTS["analysis code"],
        about=LAYOUT.about,
        metrics=LAYOUT.metrics,
        # cached by DVC, which renews time stamps; study.json and metrics.csv change with it
        history=ancient(LAYOUT.history),
    output:
        comparisons=report(
            LAYOUT.comparisons,
            caption="../report/comparisons.rst",
            category="Comparisons",
        ),
        summary=LAYOUT.summary,
        curves=RESULTS["curves"],
    log:
        LAYOUT.log("analyse"),
    conda:
        "../../environment.yml"
    params:
        study=STUDY.name,
    shell:
        "guidebp analyse --study {params.study} &> {log}"


rule render:
    input:
        RESULTS["rendering code"],
        about=LAYOUT.about,
        metrics=LAYOUT.metrics,
        # cached by DVC, which renews time stamps; study.json and metrics.csv change with it
        history=ancient(LAYOUT.history),
        inference=ancient(LAYOUT.inference),
        comparisons=LAYOUT.comparisons,
        sheets=RESULTS["sheets"],
    output:
        pictures=report(
            RESULTS["pictures"],
            caption="../report/figure.rst",
            category="Figures",
        ),
        figures=RESULTS["figure files"],
        tables=RESULTS["tables"],
    log:
        LAYOUT.log("render"),
    conda:
        "../../environment.yml"
    params:
        study=STUDY.name,
    shell:
        "guidebp render --study {params.study} &> {log}"


rule report:
    input:
        RESULTS["figures"],
        RESULTS["tables"],
        LAYOUT.about,
        LAYOUT.metrics,
        LAYOUT.comparisons,
        LAYOUT.telemetry,
    output:
        LAYOUT.report,
    log:
        LAYOUT.log("report"),
    conda:
        "../../environment.yml"
    params:
        study=STUDY.name,
    shell:
        "guidebp report --study {params.study} &> {log}"


rule analysis:
    input:
        LAYOUT.report,
