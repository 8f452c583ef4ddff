"""Whether a claim's rule is still the one under which its runs were trained."""

from guidebp.analysis.results import Results


def rule_note(results: Results, name: str) -> dict[str, str] | None:
    """A sentence, and a word where something is wrong; None without runs."""
    known = results.lock.get(name, {"now": None, "runs": {}})
    now, rules = known["now"], known["runs"]
    recorded = sum(found["count"] for found in rules.values())
    runs = max(recorded, trained(results, name))
    silent = runs - recorded  # they were trained before the claim was written
    other = {rule: found for rule, found in rules.items() if rule != now}
    changed = sum(found["count"] for found in other.values())
    if not runs:
        return None
    if not changed and not silent:
        return {"word": "", "text": f"Rule unchanged since its {runs} runs were trained ({now})."}
    sentences = []
    if changed:
        under = "; ".join(
            f"{found['count']} under {rule}, code {', '.join(commit[:10] for commit in found['commits'])}"
            for rule, found in other.items()
        )
        sentences.append(
            f"{changed} of {runs} runs were trained under another rule than today's {now}: {under}."
        )
    if silent:
        sentences.append(f"{silent} of {runs} runs do not say under which rule they were trained.")
    return {"word": "rule changed" if changed else "rule unknown", "text": " ".join(sentences)}


def trained(results: Results, name: str) -> int:
    """The number of runs behind a claim's differences."""
    assert results.claims is not None
    parts = results.claims[results.claims["claim"] == name]
    sides = {
        *zip(parts["dataset"], parts["network"], parts["method"], strict=True),
        *zip(parts["dataset"], parts["network_than"], parts["than"], strict=True),
    }
    runs = results.metrics[results.metrics["status"] != "missing"].drop_duplicates("key")
    cells = zip(runs["dataset"], runs["architecture"], runs["method"], strict=True)
    return sum(cell in sides for cell in cells)
