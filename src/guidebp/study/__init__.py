"""Studies: the resolution of their YAML files into runs with keys."""
