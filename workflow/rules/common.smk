# The study is resolved once, here; rules only name its files.
from guidebp.snakefile import print_comparison, resolve_for_snakemake

STUDY, LAYOUT, RESULTS = resolve_for_snakemake(config)


wildcard_constraints:
    dataset=r"[a-z0-9.-]+",
    pack=r"[\w.-]+",


localrules:
    all,
