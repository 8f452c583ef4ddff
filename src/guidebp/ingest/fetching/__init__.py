"""Raw files: brought to data/raw/, verified, and known by their checksums."""
