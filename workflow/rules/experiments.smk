# One job trains one pack: the runs of a dataset, an architecture and a block of repetitions. Finished runs live in
# results/runs, which Snakemake does not know; a pack's index names them and is the job's one output.
rule train:
    input:
        manifest=lambda wildcards: RESULTS["manifest of pack"][wildcards.pack],
        # DVC's caching renews the time stamp of the big file; the small manifest is what counts
        data=lambda wildcards: ancient(RESULTS["data of pack"][wildcards.pack]),
    output:
        LAYOUT.pack("{pack}"),
    log:
        "results/logs/train/" + STUDY.name + "/{pack}.log",
    params:
        study=STUDY.name,
        device=config["device"],
    threads: 1
    conda:
        "../../environment.yml"
    shell:
        "guidebp train --study {params.study} --pack {wildcards.pack} --device {params.device} 2>&1 | tee {log}"


rule collect:
    input:
        packs=RESULTS["packs"],
        manifests=RESULTS["manifests"],
        files=RESULTS["files"],
    output:
        about=LAYOUT.about,
        metrics=LAYOUT.metrics,
        history=LAYOUT.history,
        telemetry=LAYOUT.telemetry,
        records=LAYOUT.records,
    log:
        "results/logs/collect/" + STUDY.name + ".log",
    params:
        study=STUDY.name,
    conda:
        "../../environment.yml"
    shell:
        "guidebp collect --study {params.study} &> {log}"


rule experiments:
    input:
        LAYOUT.metrics,
