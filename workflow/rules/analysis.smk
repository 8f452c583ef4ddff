rule analyse:
    input:
        RESULTS["analysis code"],
        RESULTS["collected"],
        # cached by DVC, which renews time stamps; study.json and metrics.csv change with them
        ancient(RESULTS["collected, cached"]),
    output:
        comparisons=report(
            LAYOUT.comparisons,
            caption="../report/comparisons.rst",
            category="Comparisons",
        ),
        others=RESULTS["analysed, not compared"],
        for_dvc=RESULTS["for dvc"],
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
        RESULTS["collected"],
        ancient(RESULTS["collected, cached"]),
        RESULTS["analysed"],
        sheets=RESULTS["sheets"],
    output:
        pictures=report(
            RESULTS["pictures"],
            caption="../report/figure.rst",
            category="Figures",
        ),
        figures=RESULTS["figure files"],
        checksums=RESULTS["rendered sums"],
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
        RESULTS["rendering code"],
        RESULTS["notebooks"],
        RESULTS["figures"],
        RESULTS["tables"],
        RESULTS["collected"],
        RESULTS["analysed"],
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


# In place of all these for a study that tunes; config/recipes/*.tuned.yaml is made beside.
rule tune:
    input:
        RESULTS["rendering code"],
        RESULTS["tuning code"],
        RESULTS["collected"],
        ancient(RESULTS["collected, cached"]),
    output:
        RESULTS["tuned"],
    log:
        LAYOUT.log("tune"),
    conda:
        "../../environment.yml"
    params:
        study=STUDY.name,
    shell:
        "guidebp tune --study {params.study} &> {log}"
