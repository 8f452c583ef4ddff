"""What several of the unit tests stand on."""

from collections.abc import Iterator

import pytest

from tests.support.http_server import CommandRunner, Server, alone, running_commands, serving


@pytest.fixture
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its mirrors nor its proxies."""
    alone(monkeypatch)


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandRunner]:
    """A process that runs commands of the project."""
    with running_commands(tmp_path_factory.mktemp("commands")) as runner:
        yield runner


@pytest.fixture
def server() -> Iterator[Server]:
    """An HTTP server for the time of a test."""
    with serving() as found:
        yield found
