"""What several of the unit tests stand on."""

from collections.abc import Iterator

import pytest

from tests.support.http_server import Server, alone, serving


@pytest.fixture
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its mirrors nor its proxies."""
    alone(monkeypatch)


@pytest.fixture
def server() -> Iterator[Server]:
    """An HTTP server for the time of a test."""
    with serving() as found:
        yield found
