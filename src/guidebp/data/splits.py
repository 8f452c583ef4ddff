"""Which images a run trains on, validates on and is tested on.

`test: official` takes the dataset's own test set. `test: SHARE` draws a stratified test set anew for each
seed: for small sets without a hallowed split. The validation set is a stratified share of the rest, drawn
by seed where the test set is, and fixed for the dataset otherwise.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from guidebp.runs.spec import DatasetSpec
from guidebp.seeds import draw_permutation


class Split(NamedTuple):
    """Indices into the prepared images, int64, ascending."""

    train: Tensor
    validation: Tensor
    test: Tensor


def draw_stratified(labels: Tensor, among: Tensor, share: float, purpose: str, *parts: object) -> Tensor:
    """Bool [N]: a random `share` of the images of each class among `among`, rounded per class, at least 1."""
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = torch.nonzero(among & (labels == label)).flatten()
        if share == 0 or len(members) == 0:
            continue
        count = max(1, round(share * len(members)))
        chosen[members[draw_permutation(len(members), purpose, label, *parts)[:count]]] = True
    return chosen


def draw_split(labels: Tensor, official_test: Tensor, dataset: DatasetSpec, seed: int) -> Split:
    """The split of one run, from labels [N], the official test mask [N] and the resolved dataset."""
    split = dataset.split
    stream: list[object] = [dataset.name]
    test = official_test
    if split.test != "official":
        stream.append(seed)
        test = draw_stratified(labels, torch.ones_like(official_test), split.test, "test split", *stream)
    validation = draw_stratified(labels, ~test, split.validation, "validation split", *stream)
    train = ~test & ~validation
    return Split(*(torch.nonzero(mask).flatten() for mask in (train, validation, test)))
