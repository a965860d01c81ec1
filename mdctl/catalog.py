"""The base models that mdctl knows by name."""

from dataclasses import dataclass

from mdctl.settings import LEARNING_RATE


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
    learning_rate: float = LEARNING_RATE
    """Of the adapters."""

    timestep_shift: float = 1.0
    """How far training leans towards noise; 1 is the paper's uniform draw."""

    revision: str | None = None
    """Pinned commit; None records the one that is pulled."""


FAMILIES = ("unet3d",)

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
    learning_rate=1e-3,
    # Its frames are small and plain: where a subject is shows through the noise until the last twentieth of the steps.
    timestep_shift=8,
    summary="small, trained by this project, inside the package; runs on any CPU",
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
