"""F: what is passed on and taken in. An odd archive is refused whole, and no name is taken from anybody."""

import io
import json
import re
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rows import fault, nothing
from stage import Mdctl, tree
from zips import members, refused, written

from mdctl.errors import Refused
from mdctl.workspace import archive, atomic, locations, locks
from mdctl.workspace.project import Project


class Everything(frozenset[str]):
    """Holds whatever is asked for."""

    def __contains__(self, item: object) -> bool:
        return True

    def __rsub__(self, other: Any) -> Any:
        return set()


# --- Members


def special(kind: int) -> zipfile.ZipInfo:
    """A member with a name that belongs, and of another kind than a file."""
    about = zipfile.ZipInfo("clips/0123456789ab.mp4")
    about.create_system, about.external_attr = 3, (kind | 0o777) << 16
    return about


HOSTILE = ("../x", "/x", "C:\\x", "\\\\host\\x", "adapters/../../x", "adapters/con.txt", "con.txt", "x\0y", "x\x1b[31m",
           "adapters/temporal.safetensors/x", "clips/", "clips/walk.mp4", "run.toml", "a" * 5000,
           "ADAPTERS/TEMPORAL.SAFETENSORS", "readme.md")  # fmt: skip


@fault("F1", guard="mdctl.workspace.archive._MEMBER", without=re.compile(".*", re.DOTALL))
@pytest.mark.parametrize("name", HOSTILE)
def test_a_member_that_leads_elsewhere(golf: Project, packed: Path, take: Callable[..., Any], name: str) -> None:
    """One name without a place refuses the whole archive, and nothing is written anywhere."""
    before, outside = tree(locations.home()), set(packed.parent.iterdir())
    written(packed, [*members(packed).items(), (name, b"x")])
    assert "has no place in an archive" in refused(take(packed), before)
    assert set(packed.parent.iterdir()) == outside


@pytest.mark.filterwarnings("ignore:Duplicate name")
@fault("F1")
@pytest.mark.parametrize(
    ("more", "why"),
    [
        ((special(stat.S_IFLNK), b"/etc/passwd"), "is no plain file"),
        ((special(stat.S_IFCHR), b""), "is no plain file"),
        ((special(stat.S_IFIFO), b""), "is no plain file"),
        (("README.md", b"again"), "stands in it twice"),
        (("clips/0123456789ab.mp4", b"x"), "its list and its members differ"),
    ],
)
def test_a_member_of_another_kind(
    golf: Project, packed: Path, take: Callable[..., Any], more: tuple[Any, bytes], why: str
) -> None:
    """Links, devices, pipes, doubles, and what nobody has listed."""
    before = tree(locations.home())
    written(packed, [*members(packed).items(), more])
    assert why in refused(take(packed), before)


@fault("F1")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60))
def test_any_name_of_a_member(tmp_path: Path, name: str) -> None:
    """No name but the few that belong is read."""
    assume(name.partition("\0")[0])  # Python itself writes no member whose name ends before it begins
    path = tmp_path / "x.mdz"
    path.write_bytes(archive.Archive({"name": "x"}, {}).pack())
    known = archive._MEMBER.fullmatch(name)
    written(path, [*members(path).items(), (name, b"x")])
    if not known:
        with pytest.raises(Refused):
            archive.read(path)


# --- Bombs


@fault("F2", guard="mdctl.workspace.archive._MOST_MEMBERS", without=10**9)
def test_a_list_without_end(golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """Members are counted before they are looked at."""
    before = tree(locations.home())
    more = [(f"clips/{number:012x}.mp4", b"") for number in range(3000)]
    written(packed, [*members(packed).items(), *more])
    assert "it has 3005 members" in refused(take(packed), before)


def _all_of_it(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int, path: Path) -> bytes:
    return packed.read(entry)


@fault("F2", guard="mdctl.workspace.archive._content", without=_all_of_it)
def test_a_card_that_unpacks_without_end(golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """Of a kilobyte that unpacks to megabytes no more is read than a card may have."""
    before, held = tree(locations.home()), members(packed)
    held["mdz.json"] += b" " * 5_000_000
    written(packed, [*held.items()], zipfile.ZIP_DEFLATED)
    assert "'mdz.json' is larger than it says" in refused(take(packed), before)


@fault("F2")
def test_sizes_that_are_not_true(golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """More than was said, another checksum, members over one another, an archive in the archive."""
    before, held, name = tree(locations.home()), members(packed), "adapters/temporal.safetensors"
    size = json.loads(held["mdz.json"])["files"][name]["size"]
    zeros = bytes(5_000_000)
    written(packed, [*(held | {name: zeros}).items()], zipfile.ZIP_DEFLATED)
    assert "another size than it says" in refused(take(packed), before)
    packed.write_bytes(packed.read_bytes().replace(struct.pack("<I", len(zeros)), struct.pack("<I", size)))
    assert "nothing of it was kept" in refused(take(packed), before)
    written(packed, [*held.items()])
    content = bytearray(packed.read_bytes())
    content[content.index(b"temporal.safetensors") + 400] ^= 1
    packed.write_bytes(content)
    assert "nothing of it was kept" in refused(take(packed), before)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as nested:
        nested.writestr("x", zeros)
    written(packed, [*(held | {name: inner.getvalue()}).items()])
    refused(take(packed), before)


@fault("F2")
def test_members_that_lie_over_one_another(golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """A small file cannot be read a thousand times."""
    before = tree(locations.home())
    content = bytearray(packed.read_bytes())
    first = struct.unpack("<I", content[content.rindex(b"PK\x05\x06") + 16 :][:4])[0]
    second = content.index(b"PK\x01\x02", first + 4)
    content[second + 42 : second + 46] = content[first + 42 : first + 46]
    packed.write_bytes(content)
    assert "lies over another member" in refused(take(packed), before)


# --- Names


@contextmanager
def _over(path: Path) -> Iterator[Path]:
    path.mkdir(parents=True, exist_ok=True)
    yield path


@fault("F4", guard=("mdctl.workspace.names.taken", "mdctl.workspace.atomic.folder"), without=(nothing, _over))
def test_a_name_that_is_taken(golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """Imports become `golf-2` and `golf-3`, and the project that is there is not touched."""
    before = tree(golf.folder)
    for name in ("golf-2", "golf-3"):
        said = take(packed)
        assert (said.code, f"It becomes '{name}'" in said.err) == (0, True), said.err
    assert tree(golf.folder) == before
    assert {project.name for project in Project.all() if project.fault is None} == {"golf", "golf-2", "golf-3"}


@fault("F4")
def test_a_name_that_is_being_taken(golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """While somebody imports `golf-2`, the next one becomes `golf-3`."""
    with locks.writer(locations.projects() / "golf-2", "import"):
        said = take(packed)
    assert (said.code, "It becomes 'golf-3'" in said.err) == (0, True), said.err


# --- What goes along


@fault("F5", guard="mdctl.cli.share.archives.TRAINED", without=Everything())
def test_settings_of_somebody_else(packed: Path, take: Callable[..., Any]) -> None:
    """Only what says how it was learned is taken; the rest is listed; another repository or path has no effect."""
    shutil.rmtree(locations.home())
    held = members(packed)
    card = json.loads(held["mdz.json"])
    card["train"] |= {"model": "/etc", "evil": 1, "repository": "evil/repo"}
    card["clips"] |= {"path": "/etc/passwd"}
    written(packed, [*(held | {"mdz.json": json.dumps(card).encode()}).items()])
    said = take(packed)
    assert said.code == 0, said.err
    assert "evil, model, repository" in said.err
    kept = (Project.open("golf").runs()[-1].folder / "run.toml").read_text()
    assert not [word for word in ("/etc", "evil") if word in kept]


@fault("F6", guard="mdctl.cli.share.export.TRAINED", without=Everything())
def test_there_and_back_is_the_same(
    mdctl: Mdctl, golf: Project, take: Callable[..., Any], films: Path, tmp_path: Path
) -> None:
    """The same tensors, the same bytes, and no name of a person, a file or a folder."""
    save, packed = golf.runs()[-1].saves()[-1].sha256, tmp_path / "golf.mdz"
    assert mdctl("export", "golf", "-o", str(packed)).code == 0
    told = members(packed)["mdz.json"].decode() + members(packed)["README.md"].decode()
    for secret in (str(films), str(golf.folder), "walk.mp4", "threads", str(Path.home())):
        assert secret not in told
    shutil.rmtree(locations.home())
    assert take(packed).code == 0
    assert Project.open("golf").runs()[-1].saves()[-1].sha256 == save
    assert mdctl("export", "golf", "-o", str(tmp_path / "again.mdz")).code == 0
    assert (tmp_path / "again.mdz").read_bytes() == packed.read_bytes()
    assert atomic.sweep(locations.projects()) == []
