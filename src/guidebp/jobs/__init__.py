"""Jobs: packs of runs trained in child processes, with progress and resources."""
