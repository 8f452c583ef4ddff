"""A frame of texts as the report's template wants it: what sorts as a number, what is bold."""

import math
import re
from typing import Any

import pandas as pd

from guidebp.rendering.tables.files import BEST, sides

Json = dict[str, Any]
NUMBER = re.compile(r"(< )?([+-]?\d+(?:\.\d+)?)")


def html_table(name: str, title: str, caption: str, table: pd.DataFrame) -> Json:
    """A table of the report; `name` is its anchor."""
    number = [side == "r" for side in sides(table)]
    heads = [head for head in table.columns if head != BEST]
    rows = []
    for row in table.astype(str).to_dict("records"):
        best = row.get(BEST, "").split("; ")
        rows.append(
            [
                {"text": row[head], "bold": head in best, "order": order(row[head]) if is_number else None}
                for head, is_number in zip(heads, number, strict=True)
            ]
        )
    columns = [{"head": head, "number": is_number} for head, is_number in zip(heads, number, strict=True)]
    return {"name": name, "title": title, "caption": caption, "columns": columns, "rows": rows}


def order(text: str) -> str:
    """The number that a cell begins with, for sorting; nothing where there is none, which sorts lowest."""
    found = NUMBER.match(text)
    if not found:
        return ""
    value = float(found[2])
    return repr(math.nextafter(value, -math.inf) if found[1] else value)  # "< 0.001" stands below 0.001
