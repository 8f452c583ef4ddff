rule fetch:
    output:
        "data/raw/{dataset}/.fetched",
    log:
        "results/logs/fetch/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        # a changed checksum or file list is a new fetch
        entry=lambda wildcards: RESULTS["dataset entries"].get(wildcards.dataset),
    shell:
        "guidebp fetch {wildcards.dataset} &> {log} && touch {output}"


rule prepare:
    input:
        RESULTS["data code"],
        "data/raw/{dataset}/.fetched",
    output:
        data="data/prepared/{dataset}.safetensors",
        manifest="data/prepared/{dataset}.json",
    log:
        "results/logs/prepare/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        entry=lambda wildcards: RESULTS["dataset entries"].get(wildcards.dataset),
    shell:
        "guidebp prepare {wildcards.dataset} &> {log}"


rule data:
    input:
        RESULTS["manifests"],
