"""Data: catalogue, verified fetch, prepared files with manifests, splits, batches."""
