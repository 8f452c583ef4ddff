"""The report's tables of costs and machines."""

from typing import Any, cast

import pandas as pd

from guidebp.analysis.results import Results
from guidebp.rendering.report.tables import build_html_table

Json = dict[str, Any]


def build_machines_table(costs: pd.DataFrame) -> Json:
    """Build a row per machine and version of the code."""
    columns = ["processor", "instructions", "device", "runs", "hours", "torch", "Python", "commit"]
    rows = []
    if "host" in costs:
        recorded = costs.dropna(subset=["host"]).fillna({"commit": "none", "edited": False})
        by = ["processor", "instructions", "device", "torch", "python", "commit", "edited"]
        recorded = recorded.reindex(columns=[*by, "seconds"]).fillna({"instructions": "unknown"})
        for names, seconds in recorded.groupby(by, dropna=False, sort=False)["seconds"]:
            processor, instructions, device, torch, python, commit, edited = cast(tuple[Any, ...], names)
            code = commit[:10] + (" (edited)" if edited else "")
            total = f"{seconds.sum() / 3600:.2f}"
            rows.append([processor, instructions, device, len(seconds), total, torch, python, code])
    return build_html_table(
        "machines",
        "Machines that trained the runs",
        "One row per machine and version of the code. `instructions`: processor instructions that torch uses; "
        "`hours`: training time; `commit`: the code that trained, marked as edited where files differed from it.",
        pd.DataFrame(rows, columns=columns),
    )


def build_hours_table(results: Results) -> Json:
    """Build a row per section and one for all: runs, failures, hours."""
    sections = [(section["title"], results.section(section["name"])) for section in results.about["sections"]]
    views = [*sections, ("all, every run once", results)] if len(sections) > 1 else [("all", results)]
    rows = []
    for title, view in views:
        status = view.metrics.drop_duplicates("key")["status"]
        failed = int(status.isin(["diverged", "crashed"]).sum())
        core, gpu = _sum_hours(view.costs)
        trained = int((status != "missing").sum())
        rows.append([title, trained, failed, int((status == "missing").sum()), core, gpu])
    return build_html_table(
        "hours",
        "Cost by section",
        "Training and testing from start to end of each run: seconds times threads for runs on a processor, "
        "seconds for runs on a GPU. `failed`: runs that diverged or crashed. They cost time too. Runs that two "
        "sections share count in both.",
        pd.DataFrame(rows, columns=["section", "runs", "failed", "missing", "core-hours", "GPU-hours"]),
    )


def _sum_hours(costs: pd.DataFrame) -> tuple[str, str]:
    """Return core-hours and GPU-hours; dashes if no cost is recorded."""
    recorded = costs.reindex(columns=["seconds", "threads", "device_class"]).dropna()
    if recorded.empty:
        return "-", "-"
    on_gpu = recorded["device_class"].str.startswith("cuda")
    core = (recorded["seconds"] * recorded["threads"])[~on_gpu].sum() / 3600
    gpu = recorded["seconds"][on_gpu].sum() / 3600
    return f"{core:.2f}", f"{gpu:.2f}"
