# Every notebook of notebooks/, executed on the study: one page each, which needs no network. What a notebook reads of the
# figures changes with the tables and the code below, so that a figure's new time stamp alone executes nothing.
rule notebooks:
    input:
        RESULTS["rendering code"],
        RESULTS["collected"],
        ancient(RESULTS["collected, cached"]),
        RESULTS["analysed"],
        ancient(RESULTS["figure data"]),
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
