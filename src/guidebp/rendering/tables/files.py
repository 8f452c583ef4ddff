"""Tables as Markdown, LaTeX and CSV files.

All three come from one frame of texts. Its optional column BEST_COLUMN lists the columns that are bold in that row.
CSV files keep this column, because they have no bold.
"""

import re
from collections.abc import Callable

import pandas as pd

from guidebp.analysis.analyse import encode_csv

BEST_COLUMN = "best"
ROWS_PER_PAGE = 40  # a LaTeX float cannot be longer than a page
NUMBER = re.compile(r"-|unknown|(< )?[+-]?\d.*")
MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\|*["})
TAG = re.compile(r"<(?=[A-Za-z/!?])")  # Markdown would read what follows as HTML
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {
        "±": r"$\pm$",
        "<": "$<$",
        ">": "$>$",
        "[": "{[}",
        "]": "{]}",
    }  # [ after \\ would be read as its argument
)


def encode_table(table: pd.DataFrame, caption: str, kind: str, label: str) -> bytes:
    """Encode a table as "md", "tex" (`label`: for baselines to it) or "csv"."""
    if kind == "csv":
        return encode_csv(table)
    return format_markdown(table, caption) if kind == "md" else _format_latex(table, caption, label)


def format_markdown(table: pd.DataFrame, caption: str) -> bytes:
    """Format a pipe table below its caption."""
    heads, rows = _format_cells(table, lambda text: TAG.sub("&lt;", text.translate(MARKDOWN)), "**{}**")
    rules = {"l": "---", "r": "---:"}
    lines = [
        caption,
        "",
        *(f"| {' | '.join(row)} |" for row in [heads, [rules[side] for side in align_columns(table)], *rows]),
    ]
    return ("\n".join(lines) + "\n").encode()


def _format_latex(table: pd.DataFrame, caption: str, label: str) -> bytes:
    """Format a booktabs table with caption and label; a longtable if it does not fit on a page."""
    heads, rows = _format_cells(table, _escape_latex, r"\textbf{{{}}}")
    columns = "".join(align_columns(table))
    title = [rf"\caption{{{_escape_latex(caption)}}}", rf"\label{{tab:{label}}}"]
    head = [r"\toprule", " & ".join(heads) + r" \\", r"\midrule"]
    body = [" & ".join(row) + r" \\" for row in rows]
    if len(rows) > ROWS_PER_PAGE:
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


def _format_cells(
    table: pd.DataFrame, escape: Callable[[str], str], bold: str
) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows, escaped, with the columns that BEST_COLUMN names in bold."""
    heads = [column for column in table.columns if column != BEST_COLUMN]
    rows = []
    for row in table.astype(str).to_dict("records"):
        best = row.get(BEST_COLUMN, "").split("; ")
        escaped = {head: escape(" ".join(row[head].split())) for head in heads}  # a row is one line
        rows.append([bold.format(escaped[head]) if head in best else escaped[head] for head in heads])
    return [escape(head) for head in heads], rows


def align_columns(table: pd.DataFrame) -> list[str]:
    """Return the side of each column: "r" for numbers, "l" for words."""
    values = table.drop(columns=BEST_COLUMN, errors="ignore").astype(str)
    return [
        "r" if len(column) and column.map(lambda text: bool(NUMBER.fullmatch(text))).all() else "l"
        for _, column in values.items()
    ]


def _escape_latex(text: str) -> str:
    """Escape a text for LaTeX; text between backticks becomes code."""
    words = text.translate(LATEX).split("`")
    return "".join(rf"\texttt{{{word}}}" if number % 2 else word for number, word in enumerate(words))
