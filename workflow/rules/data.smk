rule fetch:
    output:
        "data/raw/{dataset}/.fetched",
    log:
        "results/logs/fetch/{dataset}.log",
    conda:
        "../../environment.yml"
    shell:
        "guidebp fetch {wildcards.dataset} &> {log} && touch {output}"


rule prepare:
    input:
        "data/raw/{dataset}/.fetched",
    output:
        data="data/prepared/{dataset}.safetensors",
        manifest="data/prepared/{dataset}.json",
    log:
        "results/logs/prepare/{dataset}.log",
    conda:
        "../../environment.yml"
    shell:
        "guidebp prepare {wildcards.dataset} &> {log}"


rule data:
    input:
        RESULTS["manifests"],
