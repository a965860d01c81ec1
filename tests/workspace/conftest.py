"""What the tests of workspace share."""

from hubserver import server

__all__ = ["server"]
