"""A table as Markdown, LaTeX and CSV.

All three come from one frame of texts. Its column BEST, where it has one, names the other columns that are set
in bold in that row: CSV keeps it, so that whoever reads the file knows as much.
"""

import re
from collections.abc import Callable

import pandas as pd

from guidebp.analysis.analyse import csv_bytes

BEST = "best"
PAGE = 40  # rows; more do not fit on a page, which a float cannot leave
NUMBER = re.compile(r"-|unknown|(< )?[+-]?\d.*")
MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\|*["})
TAG = re.compile(r"<(?=[A-Za-z/!?])")  # where Markdown would take what follows for HTML
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"±": r"$\pm$", "<": "$<$", ">": "$>$", "[": "{[}", "]": "{]}"}  # [ after \\ would be its argument
)


def table_bytes(table: pd.DataFrame, caption: str, kind: str, label: str) -> bytes:
    """The table as "md", "tex" (`label`: to refer to it) or "csv"."""
    if kind == "csv":
        return csv_bytes(table)
    return markdown(table, caption) if kind == "md" else latex(table, caption, label)


def markdown(table: pd.DataFrame, caption: str) -> bytes:
    """A pipe table under its caption."""
    heads, rows = texts(table, lambda text: TAG.sub("&lt;", text.translate(MARKDOWN)), "**{}**")
    rules = {"l": "---", "r": "---:"}
    lines = [
        caption,
        "",
        *(f"| {' | '.join(row)} |" for row in [heads, [rules[side] for side in sides(table)], *rows]),
    ]
    return ("\n".join(lines) + "\n").encode()


def latex(table: pd.DataFrame, caption: str, label: str) -> bytes:
    """A booktabs table with caption and label; a longtable where it would not fit on a page."""
    heads, rows = texts(table, tex, r"\textbf{{{}}}")
    columns = "".join(sides(table))
    title = [rf"\caption{{{tex(caption)}}}", rf"\label{{tab:{label}}}"]
    head = [r"\toprule", " & ".join(heads) + r" \\", r"\midrule"]
    body = [" & ".join(row) + r" \\" for row in rows]
    if len(rows) > PAGE:
        lines = [
            r"% needs \usepackage{booktabs,longtable}; where it is too wide, put it in pdflscape's landscape",
            r"{\footnotesize",
            rf"\begin{{longtable}}{{{columns}}}",
            *title[:1],
            title[1] + r" \\",
            *head,
            r"\endhead",
            *body,
            r"\bottomrule",
            r"\end{longtable}}",
        ]
    else:
        lines = [
            r"% needs \usepackage{booktabs,graphicx}",
            r"\begin{table}",
            r"\centering",
            *title,
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            *head,
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    return ("\n".join(lines) + "\n").encode()


def texts(table: pd.DataFrame, escape: Callable[[str], str], bold: str) -> tuple[list[str], list[list[str]]]:
    """Heads and rows, escaped, what BEST names in bold."""
    heads = [column for column in table.columns if column != BEST]
    rows = []
    for row in table.astype(str).to_dict("records"):
        best = row.get(BEST, "").split("; ")
        cells = {head: escape(" ".join(row[head].split())) for head in heads}  # a row is one line
        rows.append([bold.format(cells[head]) if head in best else cells[head] for head in heads])
    return [escape(head) for head in heads], rows


def sides(table: pd.DataFrame) -> list[str]:
    """Per column: numbers to the right, words to the left."""
    shown = table.drop(columns=BEST, errors="ignore").astype(str)
    return [
        "r" if len(cells) and cells.map(lambda text: bool(NUMBER.fullmatch(text))).all() else "l"
        for _, cells in shown.items()
    ]


def tex(text: str) -> str:
    """Escaped; what stands between backticks as code."""
    words = text.translate(LATEX).split("`")
    return "".join(rf"\texttt{{{word}}}" if number % 2 else word for number, word in enumerate(words))
