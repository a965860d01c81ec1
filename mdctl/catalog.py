"""The base models that mdctl knows by name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelCard:
    """What is known of a base model before it is loaded."""

    name: str
    family: str
    """Which file of `motion/families` loads it."""

    repository: str | None
    """Hub id, None for the model inside the package."""

    licence: str
    frames: int
    fps: float
    width: int
    height: int
    guidance: float
    summary: str
    revision: str | None = None
    """Pinned commit; None records the one that is pulled."""

    place: str = ""
    """What an example ends with, for a model that flickers where a prompt names no place."""


STARTER = ModelCard(
    name="starter",
    family="unet3d",
    repository=None,
    licence="Apache-2.0",
    frames=16,
    fps=8,
    width=64,
    height=64,
    guidance=2.5,
    summary="small, trained by this project, inside the package; runs on any CPU",
    place="on a grass background",
)

CARDS = {
    card.name: card
    for card in (
        STARTER,
        ModelCard(
            name="zeroscope",
            family="unet3d",
            repository="cerspense/zeroscope_v2_576w",
            licence="CC-BY-NC-4.0",
            frames=16,
            fps=8,
            width=384,
            height=384,
            guidance=12,
            summary="1.7 B parameters; a GPU of 8 GB or more",
        ),
        ModelCard(
            name="modelscope",
            family="unet3d",
            repository="ali-vilab/text-to-video-ms-1.7b",
            licence="CC-BY-NC-4.0",
            frames=16,
            fps=8,
            width=256,
            height=256,
            guidance=12,
            summary="1.7 B parameters; a GPU of 8 GB or more",
        ),
    )
}
