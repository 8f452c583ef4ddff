"""What the runs of a study cost, and on which machines."""

from typing import Any, cast

import pandas as pd

from guidebp.analysis.results import Results
from guidebp.rendering.report.tables import html_table

Json = dict[str, Any]


def machines(costs: pd.DataFrame) -> Json:
    """A row per machine and version of the code."""
    columns = ["processor", "instructions", "device", "runs", "hours", "torch", "Python", "commit"]
    rows = []
    if "host" in costs:
        known = costs.dropna(subset=["host"]).fillna({"commit": "none", "edited": False})
        by = ["processor", "instructions", "device", "torch", "python", "commit", "edited"]
        known = known.reindex(columns=[*by, "seconds"]).fillna({"instructions": "unknown"})
        for names, seconds in known.groupby(by, dropna=False, sort=False)["seconds"]:
            processor, instructions, device, torch, python, commit, edited = cast(tuple[Any, ...], names)
            code = commit[:10] + (" (edited)" if edited else "")
            hours = f"{seconds.sum() / 3600:.2f}"
            rows.append([processor, instructions, device, len(seconds), hours, torch, python, code])
    return html_table(
        "machines",
        "Machines that trained the runs",
        "A row per machine and version of the code. `instructions`: those of the processor that torch uses; "
        "`hours`: of training; `commit`: of the code that trained, edited where files differed from it.",
        pd.DataFrame(rows, columns=columns),
    )


def hours(results: Results) -> Json:
    """A row per part and one for all: runs, failures, hours."""
    parts = [(part["title"], results.part(part["name"])) for part in results.about["parts"]]
    views = [*parts, ("all, every run once", results)] if len(parts) > 1 else [("all", results)]
    rows = []
    for title, view in views:
        status = view.metrics.drop_duplicates("key")["status"]
        failed = int(status.isin(["diverged", "crashed"]).sum())
        core, gpu = spent(view.costs)
        trained = int((status != "missing").sum())
        rows.append([title, trained, failed, int((status == "missing").sum()), core, gpu])
    return html_table(
        "hours",
        "Cost by part",
        "Training and testing from start to end of each run: seconds times threads for runs on a processor, "
        "seconds for runs on a GPU. `failed`: diverged or crashed, which takes time too. Runs that two parts "
        "share count in both.",
        pd.DataFrame(rows, columns=["part", "runs", "failed", "missing", "core-hours", "GPU-hours"]),
    )


def spent(costs: pd.DataFrame) -> tuple[str, str]:
    """Core-hours and GPU-hours; dashes where nothing is known."""
    wanted = ["seconds", "threads", "device_class"]
    known = costs.reindex(columns=wanted).dropna()
    if known.empty:
        return "-", "-"
    on_gpu = known["device_class"].str.startswith("cuda")
    core = (known["seconds"] * known["threads"])[~on_gpu].sum() / 3600
    gpu = known["seconds"][on_gpu].sum() / 3600
    return f"{core:.2f}", f"{gpu:.2f}"
