"""Analysis: from run records to tidy tables and paired comparisons."""
