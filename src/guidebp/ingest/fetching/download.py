"""Download one file: resumed, retried, with time limits and a progress bar."""

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

READ_SIZE = 1 << 16
MAX_DOWNLOAD_BYTES = 64 << 30  # bytes of a file of unknown size


class UnavailableError(Exception):
    """A location does not have the file or cannot give it, for the reason in the message."""


class TransientError(Exception):
    """A failure that another attempt may not meet."""


@dataclass
class Downloader:
    """Downloads files under common time limits; remembers which hosts did not answer.

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

    def download(self, url: str, partial: Path, size: int | None, limit: int = MAX_DOWNLOAD_BYTES) -> None:
        """Complete `partial`, which may hold the file's beginning; accept up to `limit` bytes if `size` is unknown.

        Raises UnavailableError; OSError is the disk's.
        """
        host = url.partition("//")[2].partition("/")[0]
        if host in self.silent:
            raise UnavailableError("its host gave no answer above")
        size_before, timeouts = _get_size(partial), 0
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                return self._attempt(url, partial, size, limit if size is None else size)
            except requests.exceptions.ConnectionError as error:
                lost = any(isinstance(cause, urllib3.exceptions.ProtocolError) for cause in error.args)
                if not lost and not attempt:  # there never was one
                    self.silent.add(host)
                    raise UnavailableError(f"no connection ({_summarise_root_cause(error)})") from error
                reason = f"connection lost ({_summarise_root_cause(error)})"
            except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
                reason, timeouts = f"no answer within {self.timeout:g} s", timeouts + 1
            except ValueError as error:
                raise UnavailableError(f"no usable address ({_summarise_root_cause(error)})") from error
            except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
                reason = f"connection lost ({_summarise_root_cause(error)})"
            except TransientError as error:
                reason = str(error)
        if timeouts == self.attempts and _get_size(partial) == size_before:
            self.silent.add(host)
        raise UnavailableError(f"{reason}, {self.attempts} attempts")

    def _attempt(self, url: str, partial: Path, size: int | None, limit: int) -> None:
        """Send one request and append its body to the partial file."""
        partial.parent.mkdir(parents=True, exist_ok=True)
        have = _get_size(partial)
        if have == size:
            return
        if size is not None and have > size:  # of another file: written over
            have = 0
        headers = {"Accept-Encoding": "identity", "User-Agent": "guidebp"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as answer:
            if answer.status_code == 416:  # we hold more than there is
                partial.unlink(missing_ok=True)
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
            self._store(answer, partial, have, total, limit)
        if total is not None and partial.stat().st_size < total:
            raise TransientError("connection lost")

    def _store(
        self, answer: requests.Response, partial: Path, have: int, total: int | None, limit: int
    ) -> None:
        """Write the body behind the first `have` bytes of `partial`."""
        with (
            partial.open("ab" if have else "wb") as file,
            tqdm(
                total=total,
                initial=have,
                unit="B",
                unit_scale=True,
                desc=partial.name.removeprefix(".").replace(".part", ""),
                mininterval=0.2 if sys.stderr.isatty() else 10,
                leave=False,
            ) as bar,
        ):
            for block in self._read_blocks(answer):
                have += len(block)
                if have > limit:
                    partial.unlink()
                    raise UnavailableError(f"sends more than {limit} bytes")
                file.write(block)
                bar.update(len(block))
            file.flush()
            os.fsync(file.fileno())

    def _read_blocks(self, answer: requests.Response) -> Iterator[bytes]:
        """Yield the body as it comes; TransientError when it comes too slowly."""
        since, arrived = time.monotonic(), 0
        while block := answer.raw.read1(READ_SIZE, decode_content=False):
            arrived += len(block)
            yield block
            if (waited := time.monotonic() - since) > self.timeout:
                if arrived < self.slowest * waited:
                    raise TransientError(f"less than {self.slowest} bytes a second")
                since, arrived = time.monotonic(), 0


def _get_size(partial: Path) -> int:
    """Return how many bytes have arrived."""
    return partial.stat().st_size if partial.exists() else 0


def _summarise_root_cause(error: BaseException) -> str:
    """Return the innermost reason of a library's nested exceptions, in one line."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (a for a in error.args if isinstance(a, Exception)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = " ".join(str(error).split())
    return re.sub(r"^HTTPS?Connection\(.*?\): ", "", text)[:160]  # the address stands beside
