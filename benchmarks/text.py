"""The results of a machine as Markdown."""

from typing import Any


def markdown(known: dict[str, Any]) -> str:
    """A table per entry, with the machine and the code it was measured on."""
    parts = []
    for entry in known.values():
        where, rounds = entry["machine"], f"; {entry['rounds']} rounds" if "rounds" in entry else ""
        processor = f"{where['processor']} ({where.get('instructions', 'unknown')})"
        measured = (
            f"{processor}, {where['cores']} cores, {where['device']}; torch {where['torch']}, "
            f"code {(where['commit'] or 'unknown')[:10]}{' (edited)' if where['edited'] else ''}{rounds}"
        )
        body = sides(entry) if "sides" in entry else rows(entry["rows"]) if "rows" in entry else facts(entry)
        parts.append(f"## {entry['title']}\n\n{measured}\n\n{body}")
    return "\n\n".join(parts) + "\n"


def sides(entry: dict[str, Any]) -> str:
    """Median of every side, and its ratio to the first: median and range over the rounds."""
    found = []
    for name, side in entry["sides"].items():
        if "absent" in side:
            found.append({"": name, entry["unit"]: "-", "ratio": side["absent"], "range": "", "wanted": ""})
            continue
        wanted = entry["needed"].get(name)
        sign = "at least" if entry["more is better"] else "at most"
        found.append(
            {
                "": name,
                entry["unit"]: number(side["median"]),
                "ratio": f"{side['ratio']:.2f}",
                "range": f"{side['lowest']:.2f} to {side['highest']:.2f}",
                "wanted": "" if wanted is None else f"{sign} {wanted:g}",
            }
        )
    return rows(found)


def rows(found: list[dict[str, Any]]) -> str:
    """A table of dictionaries."""
    columns = list(dict.fromkeys(name for row in found for name in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[number(row.get(name)) for name in columns] for row in found]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def facts(entry: dict[str, Any]) -> str:
    """What is neither: a line per value."""
    shown = {
        key: value for key, value in entry.items() if key not in ("title", "machine", "case", "differences")
    }
    return "\n".join(f"- {key}: {value}" for key, value in shown.items())


def number(value: Any) -> str:
    """Thousands whole, else three digits."""
    if value is None:
        return ""
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
