# Every notebook of notebooks/, executed on the study: one page each, which needs no network.
rule notebooks:
    input:
        RESULTS["rendering code"],
        RESULTS["collected"],
        ancient(RESULTS["collected, cached"]),
        RESULTS["analysed"],
        sheets=RESULTS["sheets"],
        page="notebooks/page.html.j2",
        notebook="notebooks/{notebook}.ipynb",
    output:
        LAYOUT.notebook("{notebook}"),
    log:
        LAYOUT.log("notebooks/{notebook}"),
    conda:
        "../../environment.yml"
    params:
        study=STUDY.name,
    shell:
        "GUIDEBP_STUDY={params.study} jupyter nbconvert {input.notebook} --execute --ExecutePreprocessor.startup_timeout=600"
        " --to html --template-file {input.page} --stdout > {output}.part 2> {log} && mv {output}.part {output}"
