"""What people write: one module per YAML file of config/, and the catalogue of all entries."""
