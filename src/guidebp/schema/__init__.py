"""Schemas of the YAML files that people write, one module per file of config/, and the catalogue of all entries."""
