"""`.mdz`: what a project has learned in one file to pass on. Reading trusts nothing; one oddity refuses the whole.

An archive is a zip of stored members: `mdz.json`, `README.md`, `adapters/*.safetensors`, and on demand `clips/*`.
Names, sizes and hashes stand in `mdz.json`. Equal content gives equal bytes: members are sorted, and bear no date.
"""

import io
import json
import re
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from mdctl.errors import NotFound, Refused
from mdctl.text import safe

SUFFIX = ".mdz"
SCHEMA = 1
CARD, README = "mdz.json", "README.md"
_MEMBER = re.compile(
    r"mdz\.json|README\.md|adapters/(?:temporal|spatial_\d{3}|coupled)\.safetensors|clips/[0-9a-f]{12}\.[a-z0-9]{2,4}"
)
_MOST_MEMBERS = 2000
_MOST_CARD_BYTES = 2_000_000
_MOST_BYTES = 4_000_000_000
_NO_DATE = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = (stat.S_IFREG | 0o600) << 16
_LOCAL_HEADER = 30
_NEVER = 0x1 | 0x20 | 0x40 | 0x2000
"""Flags of encryption and of patched data."""


@dataclass(frozen=True)
class Archive:
    """What an archive holds, verified."""

    card: Mapping[str, Any]
    """What it says of itself: name, kind, captions, base model, settings."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    """Adapters and clips by their names in it."""

    readme: str = ""

    def pack(self) -> bytes:
        """The bytes of the archive; equal content gives equal bytes."""
        listed = {
            name: {"size": len(content), "sha256": sha256(content).hexdigest()}
            for name, content in sorted(self.files.items())
        }
        card = json.dumps({"schema": SCHEMA, **self.card, "files": listed}, indent=1, sort_keys=True) + "\n"
        members = {CARD: card.encode(), README: self.readme.encode(), **dict(sorted(self.files.items()))}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
            for name, content in members.items():
                if not _MEMBER.fullmatch(name):
                    raise ValueError(f"{name!r} is no member of an archive")
                about = zipfile.ZipInfo(name, _NO_DATE)
                about.create_system, about.external_attr = 3, _PLAIN_FILE
                packed.writestr(about, content)
        return buffer.getvalue()


def read(path: Path) -> Archive:
    """The content of an archive, every hash compared; `Refused` (10) for anything that does not belong in one."""
    try:
        with zipfile.ZipFile(path) as packed:
            members = _checked(packed, path)
            card = _card(_content(packed, members[CARD], _MOST_CARD_BYTES, path), path)
            listed = card.pop("files")
            if set(listed) != set(members) - {CARD, README}:
                raise _refused(path, "its list and its members differ")
            files = {}
            for name, about in listed.items():
                if members[name].file_size != about["size"]:
                    raise _refused(path, f"{name} has another size than it says")
                files[name] = _content(packed, members[name], about["size"], path)
                if sha256(files[name]).hexdigest() != about["sha256"]:
                    raise _refused(path, f"{name} is damaged")
            readme = _content(packed, members[README], _MOST_CARD_BYTES, path) if README in members else b""
            return Archive(card, files, readme.decode("utf-8", "replace"))
    except FileNotFoundError as error:
        raise NotFound(f"there is no archive '{safe(str(path), 200)}'.", fix="mdctl import FILE.mdz") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError, EOFError) as error:
        raise _refused(path, str(error) or type(error).__name__) from error


def _refused(path: Path, why: str) -> Refused:
    return Refused(
        f"'{safe(path.name, 120)}' is not taken.",
        why=f"{safe(why, 200)}; nothing of it was kept.",
        fix="ask for it again, made by mdctl export",
        code="MD-ARCHIVE",
    )


def _checked(packed: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members by name, when there is nothing odd about any of them."""
    entries = packed.infolist()
    if len(entries) > _MOST_MEMBERS:
        raise _refused(path, f"it has {len(entries)} members")
    members: dict[str, zipfile.ZipInfo] = {}
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not _MEMBER.fullmatch(entry.orig_filename) or entry.orig_filename != entry.filename:
            raise _refused(path, f"'{entry.orig_filename}' has no place in an archive")
        if entry.filename in members:
            raise _refused(path, f"'{entry.filename}' stands in it twice")
        if kind not in (0, stat.S_IFREG):
            raise _refused(path, f"'{entry.filename}' is no plain file")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & _NEVER:
            raise _refused(path, f"'{entry.filename}' is packed in a way that is not read")
        if entry.header_offset < end:
            raise _refused(path, f"'{entry.filename}' lies over another member")
        end = entry.header_offset + _LOCAL_HEADER + len(entry.filename) + entry.compress_size
        members[entry.filename] = entry
    if CARD not in members:
        raise _refused(path, f"it has no {CARD}")
    if sum(entry.file_size for entry in entries) > _MOST_BYTES:
        raise _refused(path, "it would take more than 4 GB")
    return members


def _content(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int, path: Path) -> bytes:
    """A member's bytes, never more than it may have, whatever its sizes claim."""
    with packed.open(entry) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise _refused(path, f"'{entry.filename}' is larger than it says")
    return content


def _card(content: bytes, path: Path) -> dict[str, Any]:
    try:
        card = json.loads(content)
        listed = card["files"]
        fits = isinstance(card["schema"], int) and all(
            isinstance(about["size"], int) and about["size"] >= 0 and isinstance(about["sha256"], str)
            for about in listed.values()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refused(path, f"{CARD} cannot be read: {error}") from error
    if not fits:
        raise _refused(path, f"{CARD} cannot be read")
    if card["schema"] > SCHEMA:
        raise _refused(path, "it was made by a newer mdctl")
    return dict(card)
