"""The schema of config/methods.yaml."""

from typing import Any

from pydantic import Field

from guidebp.schema.entry import Entry, Name, Text


class Method(Entry):
    """An entry of config/methods.yaml."""

    title: Text = Field(description="How figures and tables call it.")
    family: Name = Field(description="A file of src/guidebp/methods/.")
    group: Text = Field(description="Methods of one group stand together in figures and tables.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="The fields of that file's Options class."
    )
