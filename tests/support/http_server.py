"""What the tests of fetching share: an HTTP server with every kind of bad manners, toy datasets and projects."""

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from guidebp.errors import UserError
from guidebp.ingest.fetching.download import Downloader
from guidebp.ingest.fetching.fetch import fetch_dataset
from guidebp.schema.datasets import Dataset, RawFile
from tests.support.git import clean_environment

CONTENT = random.Random(0).randbytes(100_000)
OTHER = random.Random(1).randbytes(5_000)
HTML = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n"
SOON = 60  # seconds after which a test that waits for something fails


class Handler(BaseHTTPRequestHandler):
    """Answers as the server was told; every answer ends the connection."""

    server: "Server"

    def do_GET(self) -> None:
        """Note what is asked, then the next answer for this path."""
        self.server.asked.append(" ".join(filter(None, [self.path, self.headers.get("Range")])))
        answers = self.server.answers.get(self.path, [status(404)])
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def reply(self, code: int, body: bytes, length: int | None, **headers: str) -> None:
        """An answer whose Content-Length may be a lie, or missing."""
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Silence."""


Answer = Callable[[Handler], None]


class Server(ThreadingHTTPServer):
    """A real server on a free port.

    Attributes:
        asked: paths in the order of the requests, each with the value of its Range header if it has one.
        answers: by path; one after the other, the last for ever.
        closing: set when the server ends, so that no answer waits for longer.
    """

    daemon_threads = False  # all are joined at the end

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.answers: dict[str, list[Answer]] = {}
        self.closing = threading.Event()
        self.faults: list[BaseException | None] = []

    def on(self, path: str, *answers: Answer) -> str:
        """Set the answers to requests for a path; its address."""
        self.answers[path] = list(answers)
        return f"{self.address}{path}"

    @property
    def address(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None:
        """A client that has left is none of the server's faults."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.faults.append(error)


@contextmanager
def serving() -> Iterator[Server]:
    """A server for the time of a test."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
    assert server.faults == []


def status(code: int) -> Answer:
    """Nothing but a status."""
    return lambda handler: handler.reply(code, b"", 0)


def plain(body: bytes, length: int | None = -1) -> Answer:
    """The whole body whatever was asked, with a Content-Length that may be a lie, or none."""
    return lambda handler: handler.reply(200, body, len(body) if length == -1 else length)


def sound(body: bytes, at_once: int | None = None, hold: threading.Event | None = None) -> Answer:
    """What a good server does with a Range; sends `at_once` bytes, then the rest on `hold` or never."""

    def answer(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            return handler.reply(416, b"", 0, Content_Range=f"bytes */{len(body)}")
        rest = body[start:]
        first, later = (rest, b"") if at_once is None else (rest[:at_once], rest[at_once:])
        if "Range" in handler.headers:
            place = f"bytes {start}-{len(body) - 1}/{len(body)}"
            handler.reply(206, first, len(rest), Content_Range=place)
        else:
            handler.reply(200, first, len(rest))
        if hold is not None and hold.wait(SOON):
            handler.wfile.write(later)
        return None

    return answer


def trickle(body: bytes) -> Answer:
    """A byte at a time, each within every time limit."""

    def answer(handler: Handler) -> None:
        handler.reply(200, b"", len(body))
        for byte in body:
            handler.wfile.write(bytes([byte]))
            if handler.server.closing.wait(0.02):
                return

    return answer


def silence(handler: Handler) -> None:
    """No answer at all."""
    handler.server.closing.wait(SOON)


def dropped(handler: Handler) -> None:
    """The connection ends before the answer begins."""


def endless(handler: Handler) -> None:
    """More and more data, of no stated length."""
    handler.reply(200, b"", None)
    while not handler.server.closing.is_set():
        handler.wfile.write(CONTENT)


def refusing() -> str:
    """An address that nothing listens at."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as gone:
        return f"http://127.0.0.1:{gone.server_address[1]}"


def flipped(content: bytes, at: int = 1234) -> bytes:
    """One bit is another."""
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


def raw_file(path: str = "a.bin", content: bytes = CONTENT, **changes: Any) -> RawFile:
    """The catalogue's entry of a file; None leaves a key out."""
    known = {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()} | changes
    return RawFile.model_validate({key: value for key, value in known.items() if value is not None})


def toy(*files: RawFile, archive: RawFile | None = None) -> Dataset:
    """A dataset of these files."""
    source: dict[str, Any] = {"reader": "npz", "files": [_plain(file) for file in files]}
    if archive:
        source["archive"] = _plain(archive)
    split = {"test": 0.2, "validation": 0.1}
    return Dataset.model_validate_json(
        json.dumps({"title": "Toy", "source": source, "shape": [1, 8, 8], "classes": 4, "split": split})
    )


def _plain(file: RawFile) -> dict[str, Any]:
    return file.model_dump(mode="json", exclude_defaults=True)


def patient(timeout: float = 30.0) -> Downloader:
    """Two attempts, hardly a pause."""
    return Downloader(timeout=timeout, attempts=2, pause=0.01)


def refusal(raw: Path, dataset: Dataset, *mirrors: str, **options: Any) -> list[str]:
    """Fetching must fail; the lines of what it says."""
    with pytest.raises(UserError) as caught:
        fetch_dataset("toy", dataset, raw, mirrors, **{"downloader": patient()} | options)
    return str(caught.value).splitlines()


def write(path: Path, content: bytes) -> Path:
    """A file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def contents(raw: Path) -> dict[str, bytes]:
    """Every file of the dataset `toy` below data/raw/, hidden ones too; not the note of what was fetched."""
    paths = [path for path in (raw / "toy").rglob("*") if path.is_file() and path.name != "fetched.json"]
    return {path.relative_to(raw / "toy").as_posix(): path.read_bytes() for path in paths}


def project(folder: Path, dataset: Dataset, **config: Any) -> Path:
    """A project's folder whose catalogue holds nothing but the dataset `toy`."""
    (folder / "config").mkdir(parents=True)
    entry = dataset.model_dump(mode="json", exclude_defaults=True)
    (folder / "config/datasets.yaml").write_text(json.dumps({"toy": entry}))
    (folder / "config/config.yaml").write_text(json.dumps(config))
    return folder


def start(folder: Path, *command: str) -> subprocess.Popen[str]:
    """Start Python with these arguments in the folder."""
    environment = {
        name: value
        for name, value in clean_environment().items()
        if name != "GUIDEBP_MIRRORS" and not name.lower().endswith("_proxy")
    }
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


# Everything is imported once; each command runs in a fork, by default as root or whoever runs the tests.
COMMANDS = """
import json, os, resource, sys, traceback
import encodings.idna, guidebp.ingest.fetching.fetch, guidebp.ingest.verify, guidebp.paths
import guidebp.schema.catalogue, guidebp.schema.yaml_files
from guidebp.cli import main
for line in sys.stdin:
    folder, command, as_nobody, file_size = json.loads(line)
    errors, errors_end = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(errors_end, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.close(errors)
        os.chdir(folder)
        if file_size:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        if as_nobody and os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        code = 1
        try:
            code = main(command)
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)
    os.close(errors_end)
    with os.fdopen(errors) as file:
        text = file.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text]), flush=True)
"""


class CommandRunner:
    """Runs `guidebp` commands in forks of one process, so that Python starts and imports only once."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run(
        self, folder: Path, *command: str, as_nobody: bool = False, file_size: int = 0
    ) -> tuple[int, str]:
        """Exit code and errors of a command in the folder.

        `as_nobody`: as somebody for whom permissions count. `file_size`: bytes that it may write to a file.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(folder), command, as_nobody, file_size]) + "\n")
        self.process.stdin.flush()
        code, errors = json.loads(self.process.stdout.readline())
        return code, errors


@contextmanager
def running_commands(folder: Path) -> Iterator[CommandRunner]:
    """A runner of commands for the time of some tests."""
    with start(folder, "-c", COMMANDS) as process:
        yield CommandRunner(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=SOON)


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither mirrors nor proxies of the machine."""
    for name in ["GUIDEBP_MIRRORS", *(name for name in os.environ if name.lower().endswith("_proxy"))]:
        monkeypatch.delenv(name, raising=False)
