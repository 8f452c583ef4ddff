"""Replications of papers on training networks with parallel logits: GuideBP and its neighbours."""

__version__ = "0.1.0"

# Raise when a change of shared code (everything but a method's or an architecture's own file)
# changes what a run computes: the golden test of tests/training/test_golden.py then fails.
ENGINE_VERSION = 2
