"""Every kind of YAML file under config/ with its model; unknown keys are refused everywhere.

What one file alone cannot tell (does this method exist?) is checked in `guidebp.study`.
"""

from typing import Any

from guidebp.schema.architectures import Architecture
from guidebp.schema.claims import Claim
from guidebp.schema.config import Config
from guidebp.schema.datasets import DatasetEntry
from guidebp.schema.entry import Name
from guidebp.schema.methods import Method
from guidebp.schema.published import PaperTable
from guidebp.schema.recipes import RecipeEntry
from guidebp.schema.studies import StudyFile

FILES: dict[str, Any] = {
    "config": Config,
    "study": StudyFile,
    "datasets": dict[Name, DatasetEntry],
    "architectures": dict[Name, Architecture],
    "methods": dict[Name, Method],
    "recipes": dict[Name, RecipeEntry],
    "claims": dict[Name, Claim],
    "published": dict[Name, PaperTable],
}
