"""The split of a dataset into the training, validation and test images of a run.

`test: official` takes the dataset's own test set. `test: SHARE` draws a new stratified test set for each
seed, for small datasets without an established split. The validation set is a stratified share of the rest. It is
drawn by seed if the test set is, and fixed for the dataset otherwise.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from guidebp.runs.spec import DatasetSpec
from guidebp.seeds import draw_permutation


class Split(NamedTuple):
    """Ascending int64 indices of the prepared images in each part."""

    train: Tensor
    validation: Tensor
    test: Tensor


def draw_stratified(labels: Tensor, among: Tensor, share: float, purpose: str, *parts: object) -> Tensor:
    """Draw a random `share` of the images of each class among `among`, as bool [N].

    The number is rounded per class and is at least 1, except that a share of 0 draws none.
    """
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = torch.nonzero(among & (labels == label)).flatten()
        if share == 0 or len(members) == 0:
            continue
        count = max(1, round(share * len(members)))
        chosen[members[draw_permutation(len(members), purpose, label, *parts)[:count]]] = True
    return chosen


def draw_split(labels: Tensor, official_test: Tensor, dataset: DatasetSpec, seed: int) -> Split:
    """Return the split of one run, from labels [N], the official test mask [N] and the resolved dataset."""
    split = dataset.split
    stream: list[object] = [dataset.name]
    test = official_test
    if split.test != "official":
        stream.append(seed)
        test = draw_stratified(labels, torch.ones_like(official_test), split.test, "test split", *stream)
    validation = draw_stratified(labels, ~test, split.validation, "validation split", *stream)
    train = ~test & ~validation
    return Split(*(torch.nonzero(mask).flatten() for mask in (train, validation, test)))
