"""Ingesting datasets: raw files fetched, read and prepared."""
