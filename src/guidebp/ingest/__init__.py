"""Ingest datasets: fetch, verify, read and prepare raw files."""
