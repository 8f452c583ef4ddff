"""The report's claims: every verdict with what it rests on, paper by paper."""

from collections import Counter
from typing import Any

import pandas as pd

from guidebp.analysis.claims import CONTEXT, DECIDES, READING
from guidebp.analysis.results import Results
from guidebp.rendering.report.rules import note_rules
from guidebp.rendering.report.tables import build_html_table, extract_sort_key
from guidebp.rendering.tables.claims import LOWEST_COLUMN, format_lowest, format_plans, format_rule
from guidebp.rendering.tables.text import format_probability, format_signed
from guidebp.schema.claims import SETTING_TITLES

Json = dict[str, Any]

PAPERS = {
    "guidebp": ("GuideBP", "Mandal et al., 2021", "https://arxiv.org/abs/2104.11620"),
    "multiway": ("Multi-way backpropagation", "Guo et al., 2016 to 2020", "https://arxiv.org/abs/1611.01773"),
    "deconfliction": ("Gradient deconfliction", "Wang and Li, 2020", None),
    "local-critic": ("Local critic training", "Lee, Hsieh and Lee, 2021", "https://arxiv.org/abs/2102.01963"),
    "ours": ("Checks of our own", None, None),
}
ROLE_TITLES = {DECIDES: "deciding", READING: "of other readings", CONTEXT: "for context"}
# The names by which the templates know the cells of `format_lowest`.
_ATTRIBUTES = {"effect": "effect", "95 % interval": "interval", "n": "n", LOWEST_COLUMN: "lowest"}


def count_verdicts(verdicts: list[Json]) -> dict[str, int]:
    """The number of claims for each verdict, the most frequent first."""
    return dict(Counter(claim["verdict"] for claim in verdicts).most_common())


def describe_papers(results: Results) -> list[Json]:
    """The papers that have a claim or a table, with their claims."""
    shown = {claim["paper"] for claim in results.verdicts}
    shown |= {table["paper"] for table in results.about["published"].values()}
    return [
        {
            "name": name,
            "title": title,
            "authors": authors,
            "link": link,
            "claims": [
                _describe_claim(results, claim) for claim in results.verdicts if claim["paper"] == name
            ],
        }
        for name, (title, authors, link) in PAPERS.items()
        if name in shown
    ]


def _describe_claim(results: Results, claim: Json) -> Json:
    """Everything that is said of a claim, in its section and in the table of verdicts."""
    settings = [
        {
            "mark": _mark_verdict(setting, verdict),
            "why": verdict["why"] + _name_substitutes(results, claim, setting),
            **_name_attributes(format_lowest(claim, verdict)),
        }
        for setting, verdict in claim["settings"].items()
    ]
    untested = [] if claim["decided"] else [("untested", claim["verdict"])]
    first = settings[0] if settings else dict.fromkeys(_ATTRIBUTES.values(), "-")
    return {
        "claim": claim,
        "compared": results.about["claims"][claim["name"]]["comparisons"],
        "rule": format_rule(claim),
        "meaning": _explain_rule(claim),
        "settings": settings,
        "marks": [*untested, *(setting["mark"] for setting in settings)],
        "first": first,
        "order": {column: extract_sort_key(first[column]) for column in ("effect", "n")},
        "to_test": format_plans(claim["plan"]) if untested else None,
        "rule_notes": note_rules(results.lock, claim),
        "differences": _tabulate_differences(results, claim),
    }


def _name_substitutes(results: Results, claim: Json, setting: str) -> str:
    """A sentence on the methods that replace the claim's own in a setting; empty where there are none."""
    substitutes = results.about["claims"][claim["name"]]["settings"][setting]["substitutes"]
    pairs = ", ".join(f"{substitute} for {method}" for method, substitute in substitutes.items())
    return f" Substitute methods: {pairs}." if pairs else ""


def _mark_verdict(setting: str, verdict: Json) -> tuple[str, str]:
    """The style classes of a verdict's mark, and its text with the setting."""
    title = SETTING_TITLES[setting]
    return f"{setting} {verdict['outcome'].replace(' ', '-')}", f"{title}: {verdict['verdict']}"


def _name_attributes(cells: dict[str, str]) -> dict[str, str]:
    """The cells of `format_lowest` under names that a template can spell."""
    return {name: cells[head] for head, name in _ATTRIBUTES.items()}


def _explain_rule(claim: Json) -> str:
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


def _tabulate_differences(results: Results, claim: Json) -> Json:
    """The table of all paired differences that a claim looks at."""
    assert results.claims is not None
    unit = "%" if claim["unit"] == "percent" else "points"
    rows = []
    for row in results.claims[results.claims["claim"] == claim["name"]].to_dict("records"):
        bounded = pd.notna(row["low"])
        architectures = dict.fromkeys([row["architecture"], row["baseline_architecture"]])
        finished = f"{format_signed(row['difference_finished'])} ({row['n_finished']})"
        rows.append(
            {
                "role": ROLE_TITLES[row["role"]],
                "setting": SETTING_TITLES[row["setting"]],
                "dataset": row["dataset"],
                "architecture": " against ".join(architectures),
                "candidate": row["candidate"],
                "baseline": row["baseline"],
                "output": row["output"],
                f"difference ({unit})": format_signed(row["difference"]),
                "95 % interval": f"{format_signed(row['low'])} to {format_signed(row['high'])}"
                if bounded
                else "-",
                "p (Holm)": format_probability(row["p_holm"]),
                "n": str(row["n"]),
                "failed": f"{row['failed']} / {row['failed_baseline']}",
                "finished only": "the same" if row["n_finished"] == row["n"] else finished,
            }
        )
    counts = Counter(row["role"] for row in rows)
    return build_html_table(
        f"claim-{claim['name']}-differences",
        f"Paired differences behind {claim['name']}: "
        + ", ".join(f"{counts[role]} {role}" for role in ROLE_TITLES.values() if counts[role]),
        "Candidate minus baseline. Deciding differences make the verdict. Those of other readings count where "
        "the candidate fails. Those for context do not affect the verdict. `n`: pairs; `failed`: runs of the "
        "candidate / of the baseline that diverged or crashed and count as chance; `finished only`: the "
        "difference without these and its pairs.",
        pd.DataFrame(rows),
    )
