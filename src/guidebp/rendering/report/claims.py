"""The report's claims: every verdict with what it rests on, paper by paper."""

from collections import Counter
from typing import Any

import pandas as pd

from guidebp.analysis.claims import BESIDE, DECIDES, READING
from guidebp.analysis.results import Results
from guidebp.rendering.report.rules import rule_note
from guidebp.rendering.report.tables import build_html_table, extract_sort_key
from guidebp.rendering.tables.claims import numbers, rule_text, to_test
from guidebp.rendering.tables.text import format_probability, format_signed

Json = dict[str, Any]

PAPERS = {
    "guidebp": ("GuideBP", "Mandal et al., 2021", "https://arxiv.org/abs/2104.11620"),
    "multiway": ("Multi-way backpropagation", "Guo et al., 2016 to 2020", "https://arxiv.org/abs/1611.01773"),
    "deconfliction": ("Gradient deconfliction", "Wang and Li, 2020", None),
    "local-critic": ("Local critic training", "Lee, Hsieh and Lee, 2021", "https://arxiv.org/abs/2102.01963"),
    "ours": ("Checks of our own", None, None),
}
ROLES = {DECIDES: "deciding", READING: "of other readings", BESIDE: "beside"}
UNKNOWN = dict.fromkeys(("effect", "interval", "n", "weakest_difference"), "-")


def verdict_counts(verdicts: list[Json]) -> dict[str, int]:
    """How many claims have which verdict, the most frequent first."""
    return dict(Counter(claim["verdict"] for claim in verdicts).most_common())


def papers(results: Results) -> list[Json]:
    """The papers that have a claim or a table, with their claims."""
    known = {claim["paper"] for claim in results.verdicts}
    known |= {table["paper"] for table in results.about["published"].values()}
    return [
        {
            "name": name,
            "title": title,
            "authors": authors,
            "link": link,
            "claims": [claim_section(results, claim) for claim in results.verdicts if claim["paper"] == name],
        }
        for name, (title, authors, link) in PAPERS.items()
        if name in known
    ]


def claim_section(results: Results, claim: Json) -> Json:
    """Everything that is said of a claim, in its section and in the table of verdicts."""
    scales = [
        {
            "mark": mark(scale, found),
            "why": found["why"] + stand_ins(results, claim, scale),
            **attributes(numbers(claim, found)),
        }
        for scale, found in claim["scales"].items()
    ]
    untested = [] if claim["decided"] else [("untested", claim["verdict"])]
    first = scales[0] if scales else UNKNOWN
    return {
        "claim": claim,
        "compared": results.about["claims"][claim["name"]]["comparisons"],
        "rule": rule_text(claim),
        "meaning": meaning(claim),
        "scales": scales,
        "marks": [*untested, *(scale["mark"] for scale in scales)],
        "first": first,
        "order": {column: extract_sort_key(first[column]) for column in ("effect", "n")},
        "to_test": to_test(claim["plan"]) if untested else None,
        "rule_note": rule_note(results, claim["name"]),
        "parts": claim_parts(results, claim),
    }


def stand_ins(results: Results, claim: Json, scale: str) -> str:
    """A sentence on the methods that stand in for the claim's own; nothing where none do."""
    instead = results.about["claims"][claim["name"]]["grounds"][scale]["instead"]
    pairs = ", ".join(f"{ours} for {own}" for own, ours in instead.items())
    return f" Methods stand in: {pairs}." if pairs else ""


def mark(scale: str, found: Json) -> tuple[str, str]:
    """The classes of a verdict's mark, which say its look, and its words."""
    words = f"exploratory: {found['word']}" if scale == "exploratory" else found["word"]
    return f"{scale} {found['standing'].replace(' ', '-')}", words


def attributes(columns: dict[str, str]) -> dict[str, str]:
    """Texts by heading, with names that a template can spell."""
    return {head.removeprefix("95 % ").replace(" ", "_"): text for head, text in columns.items()}


def meaning(claim: Json) -> str:
    """The rule in a sentence."""
    margin = f"{claim['margin']:g} {'%' if claim['unit'] == 'percent' else 'points'}"
    if claim["rule"] == "superiority":
        return (
            f"Holds where the 95 % interval of the paired difference lies above 0 and the difference reaches "
            f"{margin}; fails where the interval lies below {margin}; open otherwise."
        )
    return (
        f"Holds where the 95 % interval of the paired difference lies above -{margin}; "
        f"fails where it lies below; open otherwise."
    )


def claim_parts(results: Results, claim: Json) -> Json:
    """The table of all paired differences that a claim looks at."""
    assert results.claims is not None
    unit = "%" if claim["unit"] == "percent" else "points"
    rows = []
    for row in results.claims[results.claims["claim"] == claim["name"]].to_dict("records"):
        known = pd.notna(row["low"])
        networks = dict.fromkeys([row["network"], row["network_than"]])
        finished = f"{format_signed(row['difference_finished'])} ({row['n_finished']})"
        rows.append(
            {
                "role": ROLES[row["role"]],
                "scale": row["scale"],
                "dataset": row["dataset"],
                "network": " against ".join(networks),
                "method": row["method"],
                "minus": row["than"],
                "output": row["output"],
                f"difference ({unit})": format_signed(row["difference"]),
                "95 % interval": f"{format_signed(row['low'])} to {format_signed(row['high'])}"
                if known
                else "-",
                "p (Holm)": format_probability(row["p_holm"]),
                "n": str(row["n"]),
                "failed": f"{row['failed']} / {row['failed_than']}",
                "finished only": "the same" if row["n_finished"] == row["n"] else finished,
            }
        )
    counts = Counter(row["role"] for row in rows)
    return build_html_table(
        f"claim-{claim['name']}-parts",
        f"Paired differences behind {claim['name']}: "
        + ", ".join(f"{counts[role]} {role}" for role in ROLES.values() if counts[role]),
        "Deciding differences make the verdict, those of other readings stand in for the method where it fails, "
        "those beside decide nothing. `n`: pairs; `failed`: runs of the method / of what it is compared with that "
        "diverged or crashed and count as chance; `finished only`: the difference without these and its pairs.",
        pd.DataFrame(rows),
    )
