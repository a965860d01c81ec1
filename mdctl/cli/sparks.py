"""The course of some numbers in one line of signs."""

from collections.abc import Sequence

SPARKS = "▁▂▃▄▅▆▇█"

SMOOTH = 0.9
"""How much of what was before stays in a smoothed number."""


def smoothed(values: Sequence[float]) -> list[float]:
    """The course of noisy numbers: each the mean of all so far, of which the older ones count less and less."""
    course, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = SMOOTH * total + value, SMOOTH * weight + 1.0
        course.append(total / weight)
    return course


def sparkline(values: Sequence[float], width: int = 16, least: float = 0.0) -> str:
    """The course of some numbers in one line of blocks; where they differ by less than `least`, they look alike."""
    if not values:
        return ""
    size = max(1, -(-len(values) // width))
    means = [sum(part) / len(part) for part in (values[i : i + size] for i in range(0, len(values), size))]
    low, span = min(means), max(max(means) - min(means), least)
    return "".join(SPARKS[round((value - low) / (span or 1) * (len(SPARKS) - 1))] for value in means)
