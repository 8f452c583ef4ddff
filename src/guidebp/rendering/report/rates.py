"""The report's tables of learning rates that a tuning study has chosen."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from guidebp.analysis.results import Results
from guidebp.rendering.report.tables import html_table


def tuned(results: Results) -> Iterator[dict[str, Any]]:
    """One table per tuned recipe: a row per network and method that it trains here, a column per dataset."""
    about = results.about
    for name, recipe in about["recipes"].items():
        if "rates" not in recipe:
            continue
        runs = results.metrics[results.metrics["recipe"] == name]
        trained = set(zip(runs["architecture"], runs["method"], strict=True))
        shown = [one for one in about["datasets"] if one in set(runs["dataset"])]
        rows = [
            [
                results.title("architectures", network),
                method,
                *(rate(recipe["rates"].get(dataset, {}).get(network, {}).get(method)) for dataset in shown),
            ]
            for network in about["architectures"]
            for method in about["methods"]
            if (network, method) in trained
        ]
        titles = [results.title("datasets", dataset) for dataset in shown]
        table = pd.DataFrame(rows, columns=["network", "method", *titles])
        caption = (
            f"Recipe `{name}` is recipe `{recipe['base']}` with these learning rates, chosen on validation images "
            f"from the same few for every method."
        )
        yield html_table(f"rates-{name}", f"Learning rates of {name}", caption, table)


def rate(value: float | None) -> str:
    """A learning rate, a dash where there is none."""
    return "-" if value is None else f"{value:g}"
