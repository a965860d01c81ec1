"""What the tests of media share."""

from films import base, film, levels

__all__ = ["base", "film", "levels"]
