"""Tables for the report's template: which columns sort as numbers, and which entries are bold."""

import math
import re
from typing import Any

import pandas as pd

from guidebp.rendering.tables.files import BEST_COLUMN, align_columns

Json = dict[str, Any]
NUMBER = re.compile(r"(< )?([+-]?\d+(?:\.\d+)?)")


def build_html_table(name: str, title: str, caption: str, table: pd.DataFrame) -> Json:
    """Build a table of the report; `name` is its anchor."""
    number = [side == "r" for side in align_columns(table)]
    heads = [head for head in table.columns if head != BEST_COLUMN]
    rows = []
    for row in table.astype(str).to_dict("records"):
        best = row.get(BEST_COLUMN, "").split("; ")
        rows.append(
            [
                {
                    "text": row[head],
                    "bold": head in best,
                    "order": extract_sort_key(row[head]) if is_number else None,
                }
                for head, is_number in zip(heads, number, strict=True)
            ]
        )
    columns = [{"head": head, "number": is_number} for head, is_number in zip(heads, number, strict=True)]
    return {"name": name, "title": title, "caption": caption, "columns": columns, "rows": rows}


def extract_sort_key(text: str) -> str:
    """Return the number that a text begins with, for sorting; an empty text, which sorts lowest, for none."""
    match = NUMBER.match(text)
    if not match:
        return ""
    value = float(match[2])
    return repr(math.nextafter(value, -math.inf) if match[1] else value)  # "< 0.001" sorts below 0.001
