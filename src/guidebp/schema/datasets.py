"""The schema of config/datasets.yaml: where a dataset comes from, what it holds, how it is split.

A dataset's `source` is one of four: published files (`files`), a folder of images (`folder`), NumPy arrays (`npz`),
or a class of torchvision (`torchvision`). An entry with `subset_of` is a fixed subset of another dataset.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, StringConstraints, Tag, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from guidebp.schema.entry import Entry, Name, Share, Text

# Relative, nothing hidden, no way out of the dataset's own folder.
RelativePath = Annotated[str, StringConstraints(pattern=r"^[\w-][\w.-]*(/[\w-][\w.-]*)*$")]


class RawFile(Entry):
    """One published file and what is known about it."""

    path: RelativePath = Field(
        description="Where it lies below data/raw/DATASET/, below a mirror, and in the archive if there is one."
    )
    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")] | None = Field(
        None, description="Its official address."
    )
    package: RelativePath | None = Field(
        None, description="Path inside an installed Python package that bundles it."
    )
    size: int | None = Field(None, gt=0, description="Its size in bytes.")
    md5: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = Field(
        None, description="Its checksum as the owner publishes it."
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="Its checksum as the owner publishes it."
    )
    unverified: bool = Field(
        False, description="No checksum is published: downloading it must be allowed explicitly."
    )

    @model_validator(mode="after")
    def _checksum_or_unverified(self) -> "RawFile":
        if self.unverified == self.verifiable:
            raise ValueError(
                "give md5 or sha256 as the owner publishes it, or, where there is none, `unverified: true`"
            )
        return self

    @property
    def verifiable(self) -> bool:
        """Return True if a copy can be checked."""
        return self.md5 is not None or self.sha256 is not None

    @property
    def description(self) -> str:
        """Size and checksum, for messages."""
        facts = [f"{self.size} bytes"] if self.size else []
        facts += [f"md5 {self.md5}"] if self.md5 else []
        facts += [f"sha256 {self.sha256}"] if self.sha256 else []
        return ", ".join([*facts, *(["no published checksum"] if self.unverified else [])])


class FilesSource(Entry):
    """Published files, fetched to data/raw/DATASET/ and verified."""

    files: Annotated[list[RawFile], Field(min_length=1)]
    reader: Name = Field(description="A file of src/guidebp/ingest/readers/.")
    archive: RawFile | None = Field(
        None, description="The tar or zip archive that holds the files; each has its path in it."
    )

    @model_validator(mode="after")
    def _paths_differ(self) -> "FilesSource":
        paths = [file.path for file in [*self.files, *([self.archive] if self.archive else [])]]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        if twice:
            raise ValueError(f"path given twice: {', '.join(twice)}")
        return self


PictureFit = Literal["exact", "crop", "stretch"]
PICTURE_FIT = Field(
    description="Images of another size: refused (exact), scaled to cover and cut at the centre (crop), "
    "or scaled to both sides (stretch).",
)


class FolderSource(Entry):
    """A folder of image files, one sub-folder per class; or `train/` and `test/` with those in each."""

    folder: Text = Field(description="Its path; relative ones start at the project's folder.")
    fit: Annotated[PictureFit, PICTURE_FIT] = "exact"


class NpzArrays(Entry):
    """Images and labels in one .npz file."""

    path: Text = Field(description="Its path; relative ones start at the project's folder.")
    images: Annotated[
        Text, Field(description="Key of the images: uint8, [N, H, W], [N, H, W, C] or [N, C, H, W].")
    ] = "images"
    labels: Annotated[Text, Field(description="Key of the labels: integers from 0, [N].")] = "labels"


class NpzSource(Entry):
    """NumPy arrays."""

    npz: NpzArrays = Field(description="The images, or those for training if `test` is given.")
    test: NpzArrays | None = Field(None, description="The official test images.")


class TorchvisionSource(Entry):
    """A class of torchvision.datasets."""

    torchvision: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")] = Field(
        description="The class's name."
    )
    root: Text | None = Field(None, description="Its data folder; by default data/raw/DATASET/.")
    arguments: dict[str, JsonValue] = Field(
        default_factory=dict, description="Further arguments of the class, for the training images."
    )
    test_arguments: dict[str, JsonValue] | None = Field(
        None, description="Further arguments that give the official test images."
    )
    download: bool = Field(
        False, description="Let the class download what is missing, with torchvision's own checks."
    )
    fit: Annotated[PictureFit, PICTURE_FIT] = "exact"

    @field_validator("arguments", "test_arguments")
    @classmethod
    def _keys_of_their_own(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        for key in ("root", "download"):
            if key in (value or {}):
                raise ValueError(f"{key} stands beside the arguments, not among them")
        return value


class SubsetSource(Entry):
    """Source of a resolved subset; a file has a SubsetEntry instead."""

    subset_of: Name
    images: int = Field(gt=0)


SOURCE_MODELS = {
    "files": FilesSource,
    "folder": FolderSource,
    "npz": NpzSource,
    "torchvision": TorchvisionSource,
    "subset_of": SubsetSource,
}


def _find_source_kind(value: Any) -> str | None:
    """Return the tag of a source: the one of its keys that names a kind of source."""
    if isinstance(value, dict):
        kinds = [f"<{key}>" for key in SOURCE_MODELS if key in value and key != "subset_of"]
        return kinds[0] if len(kinds) == 1 else None
    return next((f"<{key}>" for key, model in SOURCE_MODELS.items() if isinstance(value, model)), None)


Source = Annotated[
    Annotated[FilesSource, Tag("<files>")]
    | Annotated[FolderSource, Tag("<folder>")]
    | Annotated[NpzSource, Tag("<npz>")]
    | Annotated[TorchvisionSource, Tag("<torchvision>")]
    | Annotated[SkipJsonSchema[SubsetSource], Tag("<subset_of>")],
    Discriminator(
        _find_source_kind,
        custom_error_type="source",
        custom_error_message="needs exactly one of the keys files, folder, npz, torchvision",
    ),
]


class DatasetSplit(Entry):
    """The choice of test and validation images."""

    test: Annotated[
        Annotated[Literal["official"], Tag("<word>")] | Annotated[Share, Tag("<share>")],
        Discriminator(lambda value: "<word>" if isinstance(value, str) else "<share>"),
    ] = Field(description="`official`, or the stratified share that each seed draws anew.")
    validation: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="Stratified share of the images outside the test set; 0 for none."
    )


class AugmentationEntry(Entry):
    """Random changes of training images, drawn for each image and epoch."""

    flip: Annotated[bool, Field(description="Mirror left and right, half of the time.")] = False
    crop: Annotated[
        int, Field(ge=0, le=64, description="Pad by so many black pixels, cut the old size out at random.")
    ] = 0
    cutout: Annotated[
        int, Field(ge=0, le=256, description="Side of a square set to the mean; its centre is any pixel.")
    ] = 0


class ImageCounts(Entry):
    """Images as the owner gives them, before copies are dropped or validation is split off."""

    training: Annotated[int, Field(ge=1, description="All images where the test set is drawn.")]
    test: Annotated[int, Field(ge=0)] = 0


class Dataset(Entry):
    """An entry of config/datasets.yaml."""

    title: Text
    source: Source
    shape: tuple[
        Annotated[int, Field(ge=1, le=4)],
        Annotated[int, Field(ge=1, le=1024)],
        Annotated[int, Field(ge=1, le=1024)],
    ] = Field(description="Channels, height, width of every image.")
    classes: Annotated[
        Annotated[int, Field(ge=2, le=32767), Tag("<number>")]
        | Annotated[list[Text], Field(min_length=2, max_length=32767), Tag("<names>")],
        Discriminator(lambda value: "<names>" if isinstance(value, list) else "<number>"),
    ] = Field(description="Their number, or their names in the order of the labels.")
    split: DatasetSplit
    counts: ImageCounts | None = Field(
        None, description="Its images; hours are predicted from them before anything is fetched."
    )
    drop_copies: bool = Field(
        False,
        description="Leave out official test images that are exact copies of training images; where the test set "
        "is drawn, every exact copy of an earlier image.",
    )
    augmentation: AugmentationEntry = Field(
        default_factory=AugmentationEntry, description="What a recipe does unless it says otherwise."
    )
    licence: Text = "not stated"
    citation: Text = "not stated"

    @field_validator("classes")
    @classmethod
    def _names_differ(cls, value: int | list[str]) -> int | list[str]:
        twice = sorted({name for name in value if value.count(name) > 1}) if isinstance(value, list) else []
        if twice:
            raise ValueError(f"class named twice: {', '.join(twice)}")
        return value

    @property
    def train_images(self) -> int | None:
        """The number of images that a run trains on, copies included; None where the entry does not give counts."""
        if self.counts is None:
            return None
        outside = self.counts.training * (1 if self.split.test == "official" else 1 - self.split.test)
        return round(outside * (1 - self.split.validation))

    @property
    def class_count(self) -> int:
        """The number of classes."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)


class SubsetEntry(Entry):
    """A fixed stratified subset of another dataset, like that dataset in everything else."""

    subset_of: Name = Field(description="Another entry of this file.")
    images: int = Field(
        gt=0,
        description="So many of its images, the same share of each class: of the training images where the test "
        "set is official and stays whole, of all where it is drawn.",
    )
    title: Text | None = Field(None, description="By default made from the other's.")


def _find_entry_kind(value: Any) -> str:
    """Return the tag of an entry of the file."""
    subset = "subset_of" in value if isinstance(value, dict) else isinstance(value, SubsetEntry)
    return "<subset>" if subset else "<dataset>"


DatasetEntry = Annotated[
    Annotated[Dataset, Tag("<dataset>")] | Annotated[SubsetEntry, Tag("<subset>")],
    Discriminator(_find_entry_kind),
]


def expand_user_path(text: str) -> Path:
    """Return a path as a user writes it: `~` is the home folder; that of an unknown user stands for itself."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
