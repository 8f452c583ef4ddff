"""Download one file: resumed, retried, with time limits, a progress bar and an end to patience."""

import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

CHUNK = 1 << 16
LARGEST = 64 << 30  # bytes of a file of unknown size


class UnavailableError(Exception):
    """A source does not have the file, or cannot give it; says why."""


class TransientError(Exception):
    """A failure that may pass: worth another attempt."""


@dataclass
class Downloader:
    """Downloads with one patience; remembers which hosts did not answer.

    Attributes:
        timeout: seconds without an answer, or with less than `slowest` bytes a second, before an attempt ends.
        attempts: how often to try; what has arrived is kept from one to the next.
        pause: seconds before the second attempt; doubled before each further one.
    """

    timeout: float = 30.0
    attempts: int = 4
    pause: float = 1.0
    slowest: int = 1000
    silent: set[str] = field(default_factory=set)

    def download(self, url: str, part: Path, size: int | None, limit: int = LARGEST) -> None:
        """Complete `part`, which may hold the file's beginning; accept up to `limit` bytes if `size` is unknown.

        Raises UnavailableError; OSError is the disk's.
        """
        host = url.partition("//")[2].partition("/")[0]
        if host in self.silent:
            raise UnavailableError("its host gave no answer above")
        before, quiet = size_of(part), 0
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                return self._attempt(url, part, size, limit if size is None else size)
            except requests.exceptions.ConnectionError as error:
                lost = any(isinstance(cause, urllib3.exceptions.ProtocolError) for cause in error.args)
                if not lost and not attempt:  # there never was one
                    self.silent.add(host)
                    raise UnavailableError(f"no connection ({innermost(error)})") from error
                reason = f"connection lost ({innermost(error)})"
            except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
                reason, quiet = f"no answer within {self.timeout:g} s", quiet + 1
            except ValueError as error:
                raise UnavailableError(f"no usable address ({innermost(error)})") from error
            except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
                reason = f"connection lost ({innermost(error)})"
            except TransientError as error:
                reason = str(error)
        if quiet == self.attempts and size_of(part) == before:
            self.silent.add(host)
        raise UnavailableError(f"{reason}, {self.attempts} attempts")

    def _attempt(self, url: str, part: Path, size: int | None, limit: int) -> None:
        """One request, appended to what is there."""
        part.parent.mkdir(parents=True, exist_ok=True)
        have = size_of(part)
        if have == size:
            return
        if size is not None and have > size:  # of another file: written over
            have = 0
        headers = {"Accept-Encoding": "identity", "User-Agent": "guidebp"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as answer:
            if answer.status_code == 416:  # we hold more than there is
                part.unlink(missing_ok=True)
                raise TransientError("the server has less than was there")
            if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
                raise TransientError(f"HTTP {answer.status_code}")
            if answer.status_code not in (200, 206):
                raise UnavailableError(f"HTTP {answer.status_code}")
            resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(
                f"bytes {have}-"
            )
            have = have if resumed else 0
            length = answer.headers.get("Content-Length", "")
            total = have + int(length) if length.isdigit() else None
            if size is not None and total not in (None, size):
                raise UnavailableError(f"offers {total} bytes, expected {size}")
            total = size if total is None else total
            self._store(answer, part, have, total, limit)
        if total is not None and part.stat().st_size < total:
            raise TransientError("connection lost")

    def _store(self, answer: requests.Response, part: Path, have: int, total: int | None, limit: int) -> None:
        """Write the body behind the first `have` bytes of `part`."""
        with (
            part.open("ab" if have else "wb") as file,
            tqdm(
                total=total,
                initial=have,
                unit="B",
                unit_scale=True,
                desc=part.name.removeprefix(".").replace(".part", ""),
                mininterval=0.2 if sys.stderr.isatty() else 10,
                leave=False,
            ) as bar,
        ):
            for chunk in self._brisk(answer):
                have += len(chunk)
                if have > limit:
                    part.unlink()
                    raise UnavailableError(f"sends more than {limit} bytes")
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())

    def _brisk(self, answer: requests.Response) -> Iterator[bytes]:
        """The body's chunks as they come; PassingError when they come too slowly."""
        since, arrived = time.monotonic(), 0
        while chunk := answer.raw.read1(CHUNK, decode_content=False):
            arrived += len(chunk)
            yield chunk
            if (waited := time.monotonic() - since) > self.timeout:
                if arrived < self.slowest * waited:
                    raise TransientError(f"less than {self.slowest} bytes a second")
                since, arrived = time.monotonic(), 0


def size_of(part: Path) -> int:
    """How many bytes have arrived."""
    return part.stat().st_size if part.exists() else 0


def innermost(error: BaseException) -> str:
    """The reason at the bottom of a library's layers, in one line."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (a for a in error.args if isinstance(a, Exception)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = " ".join(str(error).split())
    return re.sub(r"^HTTPS?Connection\(.*?\): ", "", text)[:160]  # the address stands beside
