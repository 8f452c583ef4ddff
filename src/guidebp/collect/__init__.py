"""Collecting: convert the records of a study to tidy tables."""
