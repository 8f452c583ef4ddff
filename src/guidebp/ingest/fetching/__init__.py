"""Fetch raw files to data/raw/: find their locations, download them, check them against the catalogue."""
