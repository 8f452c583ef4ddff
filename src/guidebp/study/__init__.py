"""Studies: the schema of the YAML files, and their resolution into runs with keys."""
