"""Rendering: figures, tables and the report, from tidy tables alone."""
