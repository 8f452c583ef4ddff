# Raw files lie in data/raw/DATASET/, the user's own stay where they are; fetched.json names them all. A subset
# is prepared from the prepared file of the dataset it is a part of.
localrules:
    fetch,  # the nodes of a cluster may have no network


rule fetch:
    input:
        lambda wildcards: RESULTS["own files of"](wildcards.dataset),
    output:
        "data/raw/{dataset}/fetched.json",
    log:
        "results/logs/fetch/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        # a changed checksum is a new fetch
        source=lambda wildcards: RESULTS["fetch of"].get(wildcards.dataset),
        unverified="--allow-unverified" if RESULTS["settings"].allow_unverified else "",
    shell:
        "guidebp fetch {wildcards.dataset} {params.unverified} 2>&1 | tee {log}"


rule prepare:
    input:
        RESULTS["data code"],
        source=lambda wildcards: RESULTS["source of"].get(wildcards.dataset, []),
    output:
        data="data/prepared/{dataset}.safetensors",
        sheet="data/prepared/{dataset}.png",
        manifest="data/prepared/{dataset}.json",
    log:
        "results/logs/prepare/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        entry=lambda wildcards: RESULTS["prepare of"].get(wildcards.dataset),
    shell:
        "guidebp prepare {wildcards.dataset} &> {log}"


rule data:
    input:
        RESULTS["manifests"],
