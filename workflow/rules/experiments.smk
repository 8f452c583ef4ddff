# One job trains one pack: the runs of a dataset, an architecture and a block of seeds. Finished runs live in
# results/runs, which Snakemake does not know; a pack's index names them and is the job's one output.
rule train:
    input:
        manifest=lambda wildcards: RESULTS["manifest of pack"][wildcards.pack],
        # DVC's caching renews the time stamp of the big file; the small manifest is what counts
        data=lambda wildcards: ancient(RESULTS["data of pack"][wildcards.pack]),
    output:
        LAYOUT.pack("{pack}"),
    log:
        LAYOUT.pack_log("{pack}"),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        # on a GPU; without a profile that counts them, as many as there are cores
        gpu=0 if RESULTS["settings"].device == "cpu" else 1,
        mem_mb=lambda wildcards, attempt: RESULTS["needs"].megabytes(
            wildcards.pack, attempt
        ),
        runtime=lambda wildcards, attempt: RESULTS["needs"].minutes(
            wildcards.pack, attempt
        ),
        # what starts the training: a scheduler that warns only the processes it has started needs one
        launcher="",
    params:
        study=STUDY.name,
        device=RESULTS["settings"].device,
        weights="--keep-weights" if RESULTS["settings"].keep_weights else "",
    shell:
        # asked to stop, training leaves a checkpoint; the shell and tee wait for it
        "trap : TERM INT HUP;"
        " {resources.launcher} guidebp train --study {params.study} --pack {wildcards.pack} --device {params.device}"
        " {params.weights} 2>&1 | (trap '' TERM INT HUP; exec tee {log})"


rule collect:
    input:
        RESULTS["collect code"],
        packs=RESULTS["packs"],
        manifests=RESULTS["manifests"],
        files=RESULTS["files"],
    output:
        RESULTS["collected"],
        RESULTS["collected, cached"],
        records=RESULTS["records"],
    log:
        LAYOUT.log("collect"),
    conda:
        "../../environment.yml"
    params:
        study=STUDY.name,
        partial="--partial" if RESULTS["partial"] else "",
    shell:
        "guidebp collect --study {params.study} {params.partial} &> {log}"


rule experiments:
    input:
        RESULTS["packs"],
        RESULTS["records"],
        LAYOUT.metrics,
