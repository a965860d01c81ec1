"""`demo`: the main job on the clips inside the package, checked by the readers of the world they come from."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdctl.cli.choose import layers, resolve
from mdctl.cli.create import start
from mdctl.cli.create.generate import cast_of
from mdctl.cli.create.train import learn
from mdctl.cli.create.videos import Target, Video, make, settled
from mdctl.cli.create.voices import find_save
from mdctl.cli.face import EPILOG, face, same_everywhere
from mdctl.errors import MdctlError, UsageFault
from mdctl.settings import ClipSettings, SampleSettings
from mdctl.workspace import atomic
from mdctl.workspace.project import Project

if TYPE_CHECKING:
    from mdctl.media.frames import Frames
    from mdctl.media.world import Scene

NAME = "demo"
MOTION = "orbiting"
CAPTION = f"a square {MOTION}"
STEPS = 200
SUBJECTS = (("monkey", "grass"), ("pumpkin", "sky"), ("car", "brick"))
"""Who does it, and in front of what, in the three videos."""

SHEET = "contact-sheet.png"
MOVING = "demo.gif"
"""The same as one moving picture, beside the project's own files: what lies among its videos counts as one."""

AGREES = 0.7
"""Agreement of a path with the clips' motion from which the demo counts it as learned."""


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=EPILOG)(demo)


def demo(
    seed: Annotated[int, typer.Option(min=0, help="Of training and videos.")] = 0,
) -> int:
    """See it work: learn a motion from shipped clips, in minutes.

    \b
    mdctl demo
    """
    from mdctl.media import clips as media
    from mdctl.media import ffmpeg, preview

    same_everywhere()
    clips = sorted(Path(str(files("mdctl.motion.starter").joinpath("samples"))).glob("orbiting_*.mp4"))
    face().say(f"The base model 'starter' was never shown anything {MOTION}. These {len(clips)} clips show it.")

    # The three commands of the main job, each said before it is done.
    _said(f'mdctl new {NAME} CLIPS --caption "{CAPTION}"')
    try:
        start.make_project(NAME, [str(clip) for clip in clips], ClipSettings(), caption=CAPTION)
    except UsageFault as fault:
        if fault.code == "MD-EXISTS":  # no other name would do
            fault.fix = (f"mdctl rename {NAME} {NAME}-2", f"mdctl rm {NAME}     to the trash")
        raise
    project = Project.open(NAME)
    fresh = any(run.settings["train"]["seed"] != seed for run in project.runs()[-1:])
    _said(f"mdctl train {NAME} --steps {STEPS} --seed {seed}{' --fresh' * fresh}")
    end = learn(project, {"steps": STEPS, "seed": seed}, None, None, fresh=fresh, device="auto", wait_s=0)
    if end.exit_code:
        return end.exit_code
    scenes = [_scene(*pair) for pair in SUBJECTS]
    videos = [_video(project, scene, seed + place) for place, scene in enumerate(scenes)]

    # Lay the clips above the videos, and let the readers say what they see.
    paths = map(project.path_of, project.clips)
    seen = [media.cut(path, start_s=0.0, fps=8, num_frames=16, width=64, height=64) for path in paths]
    made = [(_prompt(scene), video.frames) for scene, video in zip(scenes, videos, strict=True)]
    labelled = [(f"clip: {CAPTION}", frames) for frames in seen]
    sheet, moving = project.outputs / SHEET, project.folder / MOVING
    atomic.write(sheet, preview.contact_sheet([*labelled, *((f"made: {prompt}", frames) for prompt, frames in made)]))
    wall = preview.wall([("The clips it learns from", [(CAPTION, frames) for frames in seen]), ("What it makes", made)])
    atomic.write(moving, ffmpeg.encode(wall, 8, format="gif"))
    verdicts = _read(seen, scenes, videos)
    face().done(
        f"Clips and videos side by side: {sheet}, and moving: {moving}",
        [
            f'mdctl gen {NAME} "a dog {MOTION} on a sand background"',
            "mdctl new golf ./clips/*.mp4     with clips of your own",
        ],
    )
    face().result([*(str(video.path) for video in videos), str(sheet), str(moving)], {"readers": verdicts})
    if sum(verdicts) < len(verdicts) - 1:
        raise MdctlError(
            "the demo's videos are not what they should be.",
            why=f"the readers agree with {sum(verdicts)} of {len(verdicts)}.",
            fix="report this together with the contact sheet",
            code="MD-DEMO",
        )
    return 0


def _said(line: str) -> None:
    face().say(f"$ {line}")


def _scene(subject: str, background: str) -> "Scene":
    from mdctl.media.world import Scene

    return Scene(subject, background)


def _prompt(scene: "Scene") -> str:
    from mdctl.media import world

    return world.prompt(scene, MOTION)


def _video(project: Project, scene: "Scene", seed: int) -> Video:
    prompt = _prompt(scene)
    _said(f'mdctl gen {NAME} "{prompt}" --seed {seed}')
    run, save = find_save(project, None)
    settings = settled(resolve(SampleSettings, "gen", layers("gen", project, None, {}, run.base)), run.settings)
    return next(
        make(cast_of(project, run, save, settings), prompt, settings, [seed], Target(None, None, "mp4"), "auto")
    )


def _read(references: "Sequence[Frames]", scenes: "Sequence[Scene]", videos: Sequence[Video]) -> list[bool]:
    """Whether each video shows who and where it was asked for, moving as the clips do."""
    from mdctl.measure import readers
    from mdctl.media import paths

    tracks = [reading.track for frames in references if (reading := readers.read(frames)).track]
    verdicts = []
    for scene, video in zip(scenes, videos, strict=True):
        seen = readers.read(video.frames)
        motion = max((paths.agreement(seen.track, track) for track in tracks), default=0.0) if seen.track else 0.0
        face().say(
            f"  seen: {seen.subject or 'no subject'}, {seen.background or 'no background'}; "
            f"agreement with the clips' motion {motion:.2f} (1 is the same)"
        )
        verdicts.append(seen.subject == scene.subject and seen.background == scene.background and motion >= AGREES)
    return verdicts
