"""Runs: what one run is (`spec`), what it yields (`result`, `record`) and where finished runs are kept."""
