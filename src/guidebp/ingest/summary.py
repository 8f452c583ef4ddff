"""Labels, pixel statistics and exact copies of a dataset, collected while its images are prepared."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from guidebp.data.manifest import ManifestCopyCounts
from guidebp.ingest.contents import Chunk, Images


@dataclass
class DatasetSummary:
    """Labels and digests of the images of a dataset.

    Attributes:
        labels, test: arrays [N] of each chunk, see `Chunk`.
        digests: one per image; equal images have equal digests.
    """

    labels: list[NDArray[np.int64]] = field(default_factory=list)
    test: list[NDArray[np.bool_]] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)

    def add(self, chunk: Chunk) -> None:
        """Take in a chunk."""
        self.labels.append(chunk.labels)
        self.test.append(np.full(len(chunk.labels), chunk.test))
        self.digests += [hashlib.blake2b(image.data, digest_size=16).digest() for image in chunk.images]


class PixelStatistics:
    """Mean and deviation per channel, from counts [C, 256] of the values of the images taken in."""

    def __init__(self, channels: int) -> None:
        self.counts = np.zeros((channels, 256), dtype=np.int64)

    def add(self, images: Images) -> None:
        """Take in some images."""
        for channel, counts in enumerate(self.counts):
            counts += np.bincount(images[:, channel].ravel(), minlength=256)

    def compute_mean_and_deviation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return both per channel, for values from 0 to 255; exact up to the last rounding."""
        values = np.arange(256)
        means = (self.counts * values).sum(axis=1) / self.counts.sum(axis=1)
        squares = (self.counts * (values - means[:, None]) ** 2).sum(axis=1) / self.counts.sum(axis=1)
        return (
            tuple(float(f"{mean:.6g}") for mean in means),
            tuple(float(f"{deviation:.6g}") for deviation in np.sqrt(squares)),
        )


class ExactCopies:
    """Exact copies among images, found by their digests [N]; `test` [N] says which are official test images.

    Attributes:
        across: positions of the test images that are equal to a training image.
        any: positions of all images that are equal to an earlier one.
    """

    def __init__(self, digests: list[bytes], test: NDArray[np.bool_]) -> None:
        self.test = test
        training = {digest for digest, is_test in zip(digests, test, strict=True) if not is_test}
        seen: dict[bool, set[bytes]] = {False: set(), True: set()}
        self.across: list[int] = []
        self.any: list[int] = []
        self.within = {False: 0, True: 0}
        for position, (digest, is_test) in enumerate(zip(digests, test.tolist(), strict=True)):
            across = is_test and digest in training
            self.across += [position] * across
            self.any += [position] * (across or digest in seen[is_test])
            self.within[is_test] += digest in seen[is_test]
            seen[is_test].add(digest)

    def count_copies(self, dropped: int) -> ManifestCopyCounts:
        """Return the counts for the manifest, of which `dropped` images were left out."""
        order = np.cumsum(self.test) - 1
        return ManifestCopyCounts(
            within_training=self.within[False],
            within_test=self.within[True],
            test_in_training=tuple(int(order[position]) for position in self.across),
            dropped=dropped,
        )
