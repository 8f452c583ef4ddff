"""The schema of config/architectures.yaml."""

from typing import Any

from pydantic import Field

from guidebp.schema.entry import Entry, Name, Text


class Architecture(Entry):
    """An entry of config/architectures.yaml."""

    title: Text = Field(description="How figures and tables call it.")
    family: Name = Field(description="A file of src/guidebp/models/.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="The fields of that file's Options class."
    )
