"""What preparing learns of a dataset while its images go by: labels, statistics, exact copies."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guidebp.ingest.contents import Chunk, Images


@dataclass
class DatasetSummary:
    """What is learned of a dataset while its images go by.

    Attributes:
        labels, test: one entry per image.
        digests: one per image; equal images have equal ones.
    """

    labels: list[NDArray[np.int64]] = field(default_factory=list)
    test: list[NDArray[np.bool_]] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)

    def add(self, part: Chunk) -> None:
        """Take in a part."""
        self.labels.append(part.labels)
        self.test.append(np.full(len(part.labels), part.test))
        self.digests += [hashlib.blake2b(image.data, digest_size=16).digest() for image in part.images]


class Statistics:
    """Counts [C, 256] of how often each value occurs in a channel of the images taken in."""

    def __init__(self, channels: int) -> None:
        self.counts = np.zeros((channels, 256), dtype=np.int64)

    def add(self, images: Images) -> None:
        """Take in some images."""
        for channel, counts in enumerate(self.counts):
            counts += np.bincount(images[:, channel].ravel(), minlength=256)

    def mean_and_deviation(self) -> tuple[list[float], list[float]]:
        """Per channel, of values from 0 to 255; exact up to the last rounding."""
        values = np.arange(256)
        means = (self.counts * values).sum(axis=1) / self.counts.sum(axis=1)
        squares = (self.counts * (values - means[:, None]) ** 2).sum(axis=1) / self.counts.sum(axis=1)
        return [float(f"{mean:.6g}") for mean in means], [float(f"{std:.6g}") for std in np.sqrt(squares)]


class Copies:
    """Which images are exact copies, by their digests [N] and whether they are official test images [N].

    Attributes:
        across: places of the test images that are equal to a training image.
        any: places of all images that are equal to an earlier one.
    """

    def __init__(self, digests: list[bytes], test: NDArray[np.bool_]) -> None:
        self.test = test
        training = {digest for digest, is_test in zip(digests, test, strict=True) if not is_test}
        seen: dict[bool, set[bytes]] = {False: set(), True: set()}
        self.across: list[int] = []
        self.any: list[int] = []
        self.within = {False: 0, True: 0}
        for place, (digest, is_test) in enumerate(zip(digests, test.tolist(), strict=True)):
            across = is_test and digest in training
            self.across += [place] * across
            self.any += [place] * (across or digest in seen[is_test])
            self.within[is_test] += digest in seen[is_test]
            seen[is_test].add(digest)

    def listed(self) -> dict[str, Any]:
        """For the manifest; test images by their place in the official test set."""
        order = np.cumsum(self.test) - 1
        return {
            "within_training": self.within[False],
            "within_test": self.within[True],
            "test_in_training": [int(order[place]) for place in self.across],
        }
