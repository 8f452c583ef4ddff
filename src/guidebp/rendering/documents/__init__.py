"""Committed documents whose numbers come from results."""
