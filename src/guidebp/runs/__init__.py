"""Runs: the specification of a run (`spec`), its result (`result`, `record`) and the store of finished runs."""
