"""The schema of config/published.yaml: the papers' own tables, and what of a study stands beside them.

A cell of such a table is a `Selector`: which of a study's figures it is. It is put together from what the whole
table, the row and the column say. A place says where our figures come from: the published protocol as it
stands, or other data, networks and methods instead, where that is out of reach.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from guidebp.schema.entry import Entry, Name, Text

KINDS = ("dataset", "architecture", "method")  # what a selector names and a place replaces
Output = Annotated[str, StringConstraints(pattern=r"^(primary|(exit|sub-model) [1-9][0-9]*)$")]


class Selector(Entry):
    """Which figure of a study; what is left out is said elsewhere in the table."""

    dataset: Name | None = None
    architecture: Name | None = None
    method: Name | None = None
    output: Output | None = Field(
        default=None,
        description="The network's answer (`primary`), or an exit or sub-model by its position, from 1.",
    )
    way: Literal["confidence", "certainty", "budgeted", "ensemble", "logit ensemble"] | None = Field(
        default=None, description="A way of using several exits, instead of an output."
    )
    level: float | None = Field(
        default=None, description="Of the way: its threshold, or the number of exits."
    )
    measure: Literal["accuracy", "error", "parameters", "operations"] | None = None

    def over(self, other: "Selector") -> "Selector":
        """Both together; this one wins."""
        return Selector(**(other.model_dump(exclude_none=True) | self.model_dump(exclude_none=True)))

    @property
    def pathway(self) -> int | None:
        """The position of an exit or sub-model."""
        found = re.search(r"\d+$", self.output or "")
        return int(found[0]) if found else None


class Spread(Entry):
    """A mean and the spread that a paper prints after ±."""

    mean: float
    sd: float


class Range(Entry):
    """The lowest and the highest figure of several papers."""

    low: float
    high: float


def _form(value: Any) -> str:
    """Which form a value has; the words in angle brackets stay out of messages."""
    if not isinstance(value, dict | Spread | Range):
        return "<number>"
    return "<spread>" if isinstance(value, Spread) or "mean" in value else "<range>"


Value = Annotated[
    Annotated[float, Tag("<number>")] | Annotated[Spread, Tag("<spread>")] | Annotated[Range, Tag("<range>")],
    Discriminator(_form),
]


class Row(Entry):
    """A row: what is published, and which of our figures belong beside it."""

    label: Text
    published: list[Value | None] = Field(description="A value per column; null: unknown.")
    ours: Selector | None = Field(default=None, description="Without it the row is published only.")
    confidence: Literal["H", "M"] | None = Field(default=None, description="If other than the table's.")
    note: Text | None = None


class Place(Entry):
    """The source of our figures: the names that replace the table's. Without any, the published protocol."""

    datasets: dict[Name, Name] = Field(default_factory=dict)
    architectures: dict[Name, Name] = Field(default_factory=dict)
    methods: dict[Name, Name] = Field(default_factory=dict)

    def instead(self, selector: Selector) -> Selector:
        """The selector with its names replaced."""
        named = {kind: getattr(selector, kind) for kind in KINDS}
        return selector.model_copy(
            update={kind: getattr(self, f"{kind}s").get(name, name) for kind, name in named.items()}
        )


class PaperTable(Entry):
    """An entry of config/published.yaml."""

    title: Text
    paper: Literal["guidebp", "multiway", "deconfliction", "local-critic"]
    source: Text = Field(description="Where it is published.")
    confidence: Literal["H", "M"] = Field(
        description="H: read in the paper's text, the authors' code or their README; M: second-hand or inferred."
    )
    seeds: int | None = Field(
        default=None, ge=1, description="How many runs stand behind a figure; null: unknown."
    )
    caution: list[Text] = Field(
        default_factory=list, description="Why ours and theirs may differ: a sentence each."
    )
    common: Selector = Field(Selector(), description="What all cells share.")
    columns: Annotated[dict[Text, Selector | None], Field(min_length=1)] = Field(
        description="By heading; null: none of our figures belong there."
    )
    rows: Annotated[list[Row], Field(min_length=1)]
    places: list[Place] = Field(default_factory=list, description="In the order in which they are shown.")

    @model_validator(mode="after")
    def _cells_are_whole(self) -> Self:
        for number, row in enumerate(self.rows):
            where = f"rows.{number} ({row.label})"
            if len(row.published) != len(self.columns):
                raise ValueError(
                    f"{where}.published: {len(row.published)} values for {len(self.columns)} columns"
                )
            for heading, cell in zip(self.columns, self.cells(row), strict=True):
                if cell and (fault := _fault(cell)):
                    raise ValueError(f"{where}, column '{heading}': {fault}")
        return self

    def cells(self, row: Row) -> list[Selector | None]:
        """The row's selectors, one per column; None where none of our figures belong."""
        if row.ours is None:
            return [None] * len(self.columns)
        of_row = row.ours.over(self.common)
        return [column.over(of_row) if column else None for column in self.columns.values()]

    def names(self) -> list[tuple[str, str]]:
        """All (kind, name) of datasets, architectures and methods that the table names."""
        cells = [cell for row in self.rows for cell in self.cells(row) if cell]
        found = [(kind, getattr(cell, kind)) for cell in cells for kind in KINDS]
        for place in self.places:
            for kind in KINDS:
                found += [(kind, name) for pair in getattr(place, f"{kind}s").items() for name in pair]
        return list(dict.fromkeys(found))

    @property
    def caption(self) -> str:
        """The table's title and source, and the comparisons that need caution."""
        sentences = [
            f"{self.title}.",
            f"Published: {self.source} (H: read there; M: second-hand or inferred).",
        ]
        if self.places:
            sentences.append(
                "Ours: test figures of this study, mean ± standard deviation over the finished runs, where it has "
                "them; on other data or networks than the paper's compare the order, never the digits."
            )
        return " ".join([*sentences, *self.caution])


def to_json(tables: Mapping[str, PaperTable]) -> dict[str, Any]:
    """As study.json has them."""
    return {name: table.model_dump(mode="json", exclude_defaults=True) for name, table in tables.items()}


def from_json(tables: Mapping[str, Any]) -> dict[str, PaperTable]:
    """From study.json."""
    return {name: PaperTable.model_validate(table) for name, table in tables.items()}


def _fault(cell: Selector) -> str | None:
    """The mistake in a cell: what is missing or must not be there; None for a correct cell."""
    missing = [kind for kind in KINDS if getattr(cell, kind) is None]
    if missing:
        return f"no {' and no '.join(missing)} is named"
    if (cell.way is None) != (cell.level is None):
        return "way and level belong together"
    if cell.way and (cell.output or cell.measure == "parameters"):
        return "a way of using several exits has neither output nor parameters"
    return None
