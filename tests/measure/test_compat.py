"""Other papers' figures by their own formulas, against values that were worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from films import moving

from mdctl.measure import compat, flow
from mdctl.measure.score import NO_CLIPS, SHORT, SHORT_CLIPS, Scores, Seen, Video
from mdctl.media.preview import png


def walks(count: int, seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    """Random walks, (n, 16, 2)."""
    return np.random.default_rng(seed).normal(size=(count, 16, 2)).cumsum(1)


def brute(own: np.ndarray, other: np.ndarray, diagonal: bool) -> float:  # type: ignore[type-arg]
    """The same mean of greatest mean cosines, loop by loop."""
    best = []
    for n, one in enumerate(own):
        found = []
        for m, two in enumerate(other):
            cosines = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
            found.append(cosines.mean() - (diagonal and n == m))
        best.append(max(found))
    return float(np.mean(best))


def test_yatim_is_one_direction_without_the_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the loops; a video of random walks is about a third like itself; chunks change nothing."""
    own, other = walks(30), walks(20, seed=1)
    steps = np.diff(own, axis=1), np.diff(other, axis=1)
    assert compat.yatim(own, other) == pytest.approx(brute(*steps, True))
    assert compat.yatim(own, other) != pytest.approx(compat.yatim(other, own), abs=1e-3)
    assert compat.yatim(own, own) == pytest.approx(0.34, abs=0.05)
    monkeypatch.setattr(compat, "CHUNK", 50)
    assert compat.yatim(own, other) == pytest.approx(brute(*steps, True))


def test_yatim_takes_off_the_diagonal_even_of_equal_tracks() -> None:
    """Two points with the same way: each finds the other. A single one finds nobody and is at 0."""
    way = walks(1)
    assert compat.yatim(np.repeat(way, 2, 0), np.repeat(way, 2, 0)) == pytest.approx(1)
    assert compat.yatim(way, way) == pytest.approx(0)


@pytest.mark.parametrize("formula", [compat.yatim, lambda a, b: compat.mtbench_motion(a, b, (4, 4))])
def test_what_stands_still_is_no_number(formula: object) -> None:
    """The originals divide by nothing there."""
    still = walks(3)
    still[1, 4:] = still[1, 4]
    assert formula(still, walks(3)) is None  # type: ignore[operator]


def test_mtbench_counts_where_a_point_begins_as_its_first_step() -> None:
    """Shares of width and height, one direction, the diagonal stays: a video is 1 like itself."""
    own, other = walks(12) + 20, walks(9, seed=1) + 20
    size = np.array([64, 32])
    begun = [np.concatenate([t[:, :1], np.diff(t, axis=1)], 1) / size for t in (own, other)]
    assert compat.mtbench_motion(own, other, (64, 32)) == pytest.approx(brute(begun[0], begun[1], False))
    assert compat.mtbench_motion(own, own, (64, 32)) == pytest.approx(1)


def test_the_longer_video_leaves_frames_out() -> None:
    """Both formulas take as many frames of both."""
    own = walks(5) + 20
    assert compat.mtbench_motion(own, own[:, [0, 7, 15]], (8, 8)) == pytest.approx(1)


def test_mtbench_temporal_counts_the_first_frame_with_itself() -> None:
    """[e1, e1, e2]: (1 + 1 + 0) / 3 with the first, (1 + 1 + 0) / 3 with the one before."""
    e1, e2 = np.eye(2)
    assert compat.mtbench_temporal(np.stack([e1, e1, e2])) == pytest.approx(2 / 3)
    assert compat.mtbench_temporal(np.stack([e1, e2, e1])) == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_points_are_followed_to_the_end() -> None:
    """Nobody is dropped: the whole grid, every frame, and inside it moves as the picture does."""
    tracks = compat.followed(flow.flows(moving(64, 2, 0, 6)), 8)
    assert tracks.shape == (64, 6, 2)
    assert np.median(np.diff(tracks, axis=1)[..., 0]) == pytest.approx(2, abs=0.1)


def test_points_begin_where_the_mask_is(tmp_path: Path) -> None:
    """Those of the grid that lie in the box of what is white, in both videos; the meta says which box it was."""
    frames = moving(64, 2, 0, 6)
    white = np.zeros((128, 128, 3), np.uint8)
    white[[32, 95], [16, 63]] = 255  # two corners: from (8, 16) to (32, 48) in the video
    (tmp_path / "mask.png").write_bytes(png(white))
    begins = compat.followed(flow.flows(frames), 8, (8, 16, 32, 48))[:, 0]
    assert begins.tolist() == [[x, y] for y in (20, 28, 36, 44) for x in (12, 20, 28)]
    masked, found = Seen(frames, frames, 8.0, tmp_path / "mask.png"), Scores()
    compat.score(found, "mtbench", Video(Seen(frames, frames, 8.0), "a red square", [masked]))
    assert found.meta["mtbench_boxes"] == [(8, 16, 32, 48)]
    black = np.zeros((128, 128, 3), np.uint8)
    (tmp_path / "mask.png").write_bytes(png(black))
    found = Scores()
    compat.score(found, "mtbench", Video(Seen(frames, frames, 8.0), "a red square", [masked]))
    assert found.meta["mtbench_boxes"] == ["the whole frame"]


@pytest.mark.parametrize("kind", compat.KINDS)
def test_a_single_frame_has_no_motion_to_compare(kind: str) -> None:
    """It is skipped with the reason, whichever of both it is."""
    one, many = (Seen(frames, frames, 8.0) for frames in (moving(64, 2, 0, 1), moving(64, 2, 0, 6)))
    for own, clip, why in ((one, many, SHORT), (many, one, SHORT_CLIPS)):
        found = Scores()
        compat.score(found, kind, Video(own, "a red square", [clip]))
        assert found.skipped[f"{kind}_motion_dis"] == why


def test_what_is_missing_is_skipped_with_its_reason() -> None:
    """Weights and clips; names of their own for every column."""
    frames = moving(64, 2, 0, 6)
    seen, found = Seen(frames, frames, 8.0), Scores()
    for kind in compat.KINDS:
        compat.score(found, kind, Video(seen, "a red square"))
    assert set(found.skipped) == {name for names in compat.COLUMNS.values() for name in names}
    assert found.skipped["yatim_motion_dis"] == NO_CLIPS
    assert "DINO" in found.skipped["mtbench_temporal"]
    found = Scores()
    for kind in compat.KINDS:
        compat.score(found, kind, Video(seen, "a red square", [seen]))
    assert found.values["mtbench_motion_dis"] == pytest.approx(1)
    assert found.values["yatim_motion_dis"] > 0.9
