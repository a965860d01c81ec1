"""Flow has the right length and direction, and points follow it."""

import numpy as np
import pytest
from films import moving

from mdctl.measure import flow
from mdctl.measure.flow import flows, tracks


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize(("dx", "dy"), [(4, 0), (0, -3), (1, 1)])
def test_a_shift_is_read_to_a_twentieth_of_a_pixel(size: int, dx: int, dy: int) -> None:
    """Away from the border the mean flow is the shift, on small frames too."""
    found = flows(moving(size, dx, dy, 3))
    inner = found.forward[:, 12:-12, 12:-12].mean((0, 1, 2))
    assert inner == pytest.approx([dx, dy], abs=0.05)
    assert found.backward[:, 12:-12, 12:-12].mean((0, 1, 2)) == pytest.approx([-dx, -dy], abs=0.05)


def test_flow_back_is_reckoned_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, and only then: it takes as long again."""
    pairs: list[int] = []
    reckon = flow._flow
    monkeypatch.setattr(flow, "_flow", lambda *given: pairs.append(1) or reckon(*given))
    found = flows(moving(64, 1, 0, 3))
    assert len(pairs) == 2
    assert found.backward is found.backward
    assert len(pairs) == 4


def test_points_follow_what_moves() -> None:
    """Tracks run along the shift, and points that leave the frame are not kept."""
    found = tracks(flows(moving(128, 3, 0)))
    steps = np.diff(found, axis=1)
    assert 200 < len(found) < 576
    assert np.median(steps[..., 0]) == pytest.approx(3, abs=0.1)
    assert np.abs(np.median(steps[..., 1])) < 0.1


def test_a_single_frame_does_not_flow() -> None:
    """There is nothing to compare it with."""
    found = flows(moving(64, 0, 0, 1))
    assert found.forward.shape == (0, 64, 64, 2)
    assert tracks(found).shape == (576, 1, 2)
