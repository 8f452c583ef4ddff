# Snakemake looks here first; the workflow itself is workflow/Snakefile. An included file's default target
# is not taken over, so it is named again.
include: "workflow/Snakefile"


workflow.default_target = "all"
