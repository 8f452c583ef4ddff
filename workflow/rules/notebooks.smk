# Every notebook of notebooks/, executed on the study: one page each, which needs no network. What a notebook reads of the
# figures changes with the tables and the code below, so that a figure's new time stamp alone executes nothing.
rule notebooks:
    input:
        RESULTS["rendering code"],
        RESULTS["collected"],
        ancient(RESULTS["collected, cached"]),
        RESULTS["analysed"],
        ancient(RESULTS["figure data"]),
        "notebooks/page.html.j2",
        sheets=RESULTS["sheets"],
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
        "GUIDEBP_STUDY={params.study} jupyter nbconvert --to html --template-file notebooks/page.html.j2"
        " --execute --KernelManager.transport=ipc --stdout {input.notebook} > {output}.part 2> {log} && mv {output}.part {output}"
