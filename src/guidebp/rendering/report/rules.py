"""Notes that compare a claim's rules with those under which its runs were trained."""

from typing import Any

from guidebp.schema.claims import SETTING_TITLES

Json = dict[str, Any]


def note_rules(lock: Json, claim: Json) -> list[Json]:
    """Per setting with a verdict: whether its rules changed after the runs, and a sentence with the runs.

    Args:
        lock: claims.lock.json.
        claim: an entry of claims.json.
    """
    notes = []
    for setting, verdict in claim["settings"].items():
        rules = lock.get(claim["name"], {}).get(setting)
        if rules:
            text = f"{SETTING_TITLES[setting].capitalize()}: {_describe_runs(rules)}"
            notes.append({"changed": verdict["rules_changed"], "text": text})
    return notes


def _describe_runs(rules: Json) -> str:
    """Sentences with the number of runs for each version of the rules that they were trained under."""
    counts = {rule: runs["count"] for rule, runs in rules["runs"].items()}
    total, now = sum(counts.values()), rules["now"]
    sentences = []
    if set(counts) <= {now}:
        return f"rules unchanged since the {total} runs were trained ({now})."
    others = {rule: runs for rule, runs in rules["runs"].items() if rule not in (now, "none")}
    if others:
        changed = "; ".join(
            f"{runs['count']} under {rule}, code {', '.join(commit[:10] for commit in runs['commits'])}"
            for rule, runs in others.items()
        )
        number = sum(counts[rule] for rule in others)
        sentences.append(
            f"{number} of {total} runs were trained under other rules than today's {now}: {changed}."
        )
    if "none" in counts:
        sentences.append(f"{counts['none']} of {total} runs do not say under which rules they were trained.")
    return " ".join(sentences)
