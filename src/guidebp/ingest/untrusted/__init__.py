"""Untrusted files: archives, pickles and pictures of unknown origin. Nothing in them is believed or run."""
