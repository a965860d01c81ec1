"""Points and lines are where they belong."""

import io

import numpy as np
from PIL import Image

from mdctl.media import plot


def test_every_line_is_seen_in_its_colour_with_its_name() -> None:
    """Two panels, two colours, a legend; degenerate data draws too."""
    circle = np.stack([np.cos(np.linspace(0, 6, 20)), np.sin(np.linspace(0, 6, 20))], 1)
    lines = [plot.Line(circle, (200, 0, 0)), plot.Line(3 * circle, (0, 0, 200), connected=False)]
    content = plot.png([plot.Panel("both", lines), plot.Panel("a point", [plot.Line(np.zeros((1, 2)), (0, 150, 0))])],
                       [("small", (200, 0, 0))])  # fmt: skip
    image = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    red = (image[..., 0] > 150) & (image[..., 1] < 90) & (image[..., 2] < 90)
    blue = (image[..., 2] > 150) & (image[..., 0] < 90)
    green = (image[..., 1] > 110) & (image[..., 0] < 90) & (image[..., 2] < 90)
    width = image.shape[1] // 2
    plotted = red[:430]
    assert plotted[:, :width].sum() > 100
    assert red[430:].sum() > 10
    assert np.ptp(np.argwhere(blue)[:, 1]) > 2.5 * np.ptp(np.argwhere(plotted)[:, 1])
    assert green[:, width:].sum() > 5
    assert not green[:, :width].any()
