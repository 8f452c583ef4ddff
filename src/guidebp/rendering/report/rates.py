"""The report's tables of learning rates that a tuning study chose."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from guidebp.analysis.results import Results
from guidebp.rendering.report.tables import build_html_table


def build_rate_tables(results: Results) -> Iterator[dict[str, Any]]:
    """Yield a table per tuned recipe: a row per architecture and method, a column per dataset."""
    about = results.about
    for name, recipe in about["recipes"].items():
        if "rates" not in recipe:
            continue
        runs = results.metrics[results.metrics["recipe"] == name]
        trained = set(zip(runs["architecture"], runs["method"], strict=True))
        datasets = [dataset for dataset in about["datasets"] if dataset in set(runs["dataset"])]
        rows = [
            [
                results.title("architectures", architecture),
                method,
                *(
                    _format_rate(recipe["rates"].get(dataset, {}).get(architecture, {}).get(method))
                    for dataset in datasets
                ),
            ]
            for architecture in about["architectures"]
            for method in about["methods"]
            if (architecture, method) in trained
        ]
        titles = [results.title("datasets", dataset) for dataset in datasets]
        table = pd.DataFrame(rows, columns=["architecture", "method", *titles])
        caption = (
            f"Recipe `{name}` is recipe `{recipe['base']}` with these learning rates. They were chosen on "
            f"validation images, from the same candidates for every method."
        )
        yield build_html_table(f"rates-{name}", f"Learning rates of {name}", caption, table)


def _format_rate(value: float | None) -> str:
    """Format a learning rate; a dash for none."""
    return "-" if value is None else f"{value:g}"
