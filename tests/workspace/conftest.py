"""What the tests of workspace share."""

from collections.abc import Iterator

import pytest
from hubserver import HubServer, messy, serving


@pytest.fixture
def server() -> Iterator[HubServer]:
    """A hub with an untidy repository."""
    with serving(messy()) as running:
        yield running
