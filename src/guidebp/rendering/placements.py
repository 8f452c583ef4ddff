"""Placement of a study's figures and tables: with a dataset, a section, both of them, or the whole study."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple


class CatalogueEntry(NamedTuple):
    """The catalogue's entry of one figure or table.

    Attributes:
        caption: printed below a figure and above a table.
        per: what has one figure or table of this kind. "section": each pair of a dataset and a section. "exits" and
            "trunk": the same, in sections with this property (`guidebp.study.resolve.Section`). "across": each
            section, over its datasets. "dataset" and "study": each of these.
        reads: the files of `guidebp.paths.StudyPaths` that hold a figure's numbers.
    """

    caption: str
    per: Literal["dataset", "section", "exits", "trunk", "across", "study"] = "section"
    reads: tuple[str, ...] = ()


class Placement(NamedTuple):
    """One figure or table of a study; `dataset` and `section` are empty where it belongs to none."""

    name: str
    dataset: str
    section: str


def list_placements(
    entries: Mapping[str, CatalogueEntry], sections: Iterable[Mapping[str, Any]]
) -> Iterator[Placement]:
    """Yield the placement of every figure or table, given the sections as study.json has them."""
    sections = list(sections)
    datasets = dict.fromkeys(dataset for section in sections for dataset, _, _ in section["combinations"])
    for dataset in datasets:
        for name, entry in entries.items():
            if entry.per == "dataset":
                yield Placement(name, dataset, "")
        for section in sections:
            has_dataset = any(dataset == combination[0] for combination in section["combinations"])
            for name, entry in entries.items():
                fits = entry.per in ("section", "exits", "trunk") and section.get(entry.per, True)
                if fits and has_dataset:
                    yield Placement(name, dataset, section["name"])
    for name, entry in entries.items():
        if entry.per == "across":
            yield from (Placement(name, "", section["name"]) for section in sections)
        elif entry.per == "study":
            yield Placement(name, "", "")
