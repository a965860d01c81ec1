"""The only file that writes: what bears a final name is whole and on disk, or is not there at all.

A file is filled under a draft's name in the same folder, synced, and renamed; a folder likewise, with all it holds.
Drafts are named `.tmp-<host>-<pid>-<start>-<chance>`, so that `sweep` can tell what a dead process left behind from
what a living one is still writing. Folders are made 0700, files 0600. Faults of the disk become `NoSpace` (7) or
`NotReady` (5); `FileExistsError` and `FileNotFoundError` stay as they are, for the caller to explain.
"""

import errno
import os
import platform
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b, sha256
from itertools import count
from pathlib import Path
from uuid import uuid4

from mdctl.errors import BadInput, MdctlError, NoSpace, NotFound, NotReady
from mdctl.workspace import processes

_BINARY: int = getattr(os, "O_BINARY", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
_BLOCK_BYTES = 1 << 20
_DRAFT = re.compile(r"\.tmp-(?P<host>[0-9a-f]{8})-(?P<pid>\d{1,10})-(?P<start>\d{1,20})-[0-9a-f]{12}")
_STALE_S = 7 * 24 * 3600  # a draft of another host cannot be judged; after a week it is taken for dead
_RENAME_TRIES = 10

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
_FAILING = {errno.EIO, errno.EMFILE, errno.ENFILE, errno.EXDEV, errno.ENAMETOOLONG, errno.ESTALE, errno.ENODEV}
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.EINVAL}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}


# Files


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Lend an empty file beside `path` to write into; what is left of it at the end is removed."""
    room(path.parent)
    loose = path.with_name(_draft_name() + path.suffix[:16])
    with explaining(path):
        os.close(os.open(loose, _NEW, 0o600))
    try:
        yield loose
    finally:
        with suppress(OSError):
            loose.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a draft to write into; it takes the name `path` only once it is whole and on disk."""
    with draft(path) as loose:
        yield loose
        with explaining(path):
            _sync(loose)
            _rename(loose, path, replace=True)
            _sync_folder(path.parent)


def write(path: Path, data: bytes | str) -> None:
    """Make `path` a file of this content, in place of what it was; text is written as UTF-8."""
    with replacing(path) as loose:
        _fill(loose, _encoded(data), path)


def create(path: Path, data: bytes | str, *, beside: str = "") -> Path:
    """Write a new file that replaces nothing, and tell its name: `x.mp4`, or `x_2.mp4`, `x_3.mp4`... when taken."""
    with draft(path) as loose:
        _fill(loose, _encoded(data), path)
        return adopt(loose, path, beside=beside)


def adopt(loose: Path, path: Path, *, beside: str = "") -> Path:
    """Give a finished draft the name `path`, or the next free one, and tell which; nothing is replaced.

    `beside` is the suffix of a companion, such as `.json`: a name counts as taken when its companion's is.
    """
    with explaining(path):
        _sync(loose)
        for name in _names(path):
            if beside and os.path.lexists(name.with_suffix(beside)):
                continue
            with suppress(FileExistsError):
                _claim(loose, name)
                _sync_folder(name.parent)
                return name
    raise AssertionError  # pragma: no cover  # the names never end


def copy(source: Path, target: Path, *, expected: str = "") -> str:
    """Copy a file block by block, and tell the sha256 of what was copied; the source is only read.

    `BadInput` when the hash is not the expected one: then the copy never gets its name.
    """
    digest = sha256()
    with replacing(target) as loose, _filling(loose, target) as descriptor:
        for block in _blocks(source):
            digest.update(block)
            with explaining(target, len(block)):
                _put(descriptor, block)
        if expected and digest.hexdigest() != expected:
            fix = "run the same line again once nothing writes to it."
            raise BadInput(f"the file '{source.name}' changed after it was looked at.", why=str(source), fix=fix)
    return digest.hexdigest()


def append(path: Path, line: str) -> None:
    """Add a line to a file in one write; a last line that a crash has torn is closed first, so it harms no other."""
    if "\n" in line:
        raise ValueError("a line has no line break")
    room(path.parent)
    with explaining(path, len(line)):
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _BINARY, 0o600)
        try:
            torn = False
            if os.lseek(descriptor, 0, os.SEEK_END):
                os.lseek(descriptor, -1, os.SEEK_END)
                torn = os.read(descriptor, 1) != b"\n"
            _put(descriptor, (("\n" if torn else "") + line + "\n").encode())
        finally:
            os.close(descriptor)


def extend(path: Path, blocks: Iterable[bytes]) -> None:
    """Add blocks to the end of a file as they come; what came before a fault stays, to be gone on from."""
    room(path.parent)
    with explaining(path):
        path.touch(0o600)
    with _filling(path, path, os.O_APPEND) as descriptor:
        for block in blocks:
            with explaining(path, len(block)):
                _put(descriptor, block)


# Folders


def room(folder: Path) -> Path:
    """The folder, made with all that it lies in where it is not there yet."""
    if not folder.is_dir():
        room(folder.parent)
        with explaining(folder):
            with suppress(FileExistsError):  # somebody else was faster
                folder.mkdir(0o700)
            _sync_folder(folder.parent)
    return folder


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Lend a staging folder to fill; it takes the name `path` whole, by one rename, once everything in it is on disk.

    `FileExistsError` when the name is taken by then; the staging folder is gone after any failure.
    """
    room(path.parent)
    stage = path.with_name(_draft_name())
    with explaining(path):
        stage.mkdir(0o700)
    try:
        yield stage
        settle(stage, path)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def settle(stage: Path, path: Path) -> None:
    """Give a filled folder the name `path` in one step, once it is on disk; `FileExistsError` when it is taken."""
    with explaining(path):
        _sync_tree(stage)
        _rename(stage, path)
        _sync_folder(path.parent)


def move(source: Path, target: Path) -> Path:
    """Move a file or folder to a name that is free, and tell which it was: `x`, or `x_2`, `x_3`... when taken."""
    room(target.parent)
    with explaining(source):
        for name in _names(target):
            with suppress(FileExistsError):
                _rename(source, name)
                _sync_folder(name.parent)
                _sync_folder(source.parent)
                return name
    raise AssertionError  # pragma: no cover  # the names never end


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it, so that it vanishes at once; what is not there is no fault."""
    gone = path.with_name(_draft_name()) if path.is_dir() and not path.is_symlink() else path
    with explaining(path):
        try:
            if gone != path:
                _rename(path, gone)
                _sync_folder(path.parent)
            _erase(gone)
        except FileNotFoundError:
            return
        _sync_folder(path.parent)


def sweep(folder: Path) -> list[Path]:
    """Delete the drafts that dead processes left in a folder, and tell which; those of living ones stay."""
    swept = [path for path in folder.glob(".tmp-*") if _dead(path)]
    for path in swept:
        with suppress(OSError):  # what cannot be swept today is swept another day
            _erase(path)
    return swept


# Names


def _draft_name() -> str:
    pid = os.getpid()
    return f".tmp-{_host()}-{pid}-{processes.started(pid) or 0}-{uuid4().hex[:12]}"


def _host() -> str:
    return blake2b(platform.node().encode("utf-8", "replace"), digest_size=4).hexdigest()


def _dead(path: Path) -> bool:
    known = _DRAFT.match(path.name)
    if known and known["host"] == _host():
        return not processes.alive(int(known["pid"]), int(known["start"]))
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > _STALE_S
    return False


def _staged(path: Path) -> bool:
    return any(part.startswith(".tmp-") for part in path.parent.parts)


def _names(path: Path) -> Iterator[Path]:
    yield path
    yield from (path.with_stem(f"{path.stem}_{number}") for number in count(2))


# Single steps, each of which can fail


def _encoded(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data


@contextmanager
def _filling(loose: Path, path: Path, more: int = 0) -> Iterator[int]:
    with explaining(path):
        descriptor = os.open(loose, os.O_WRONLY | _BINARY | more)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _fill(loose: Path, content: bytes, path: Path) -> None:
    with _filling(loose, path) as descriptor, explaining(path, len(content)):
        _put(descriptor, content)


def _put(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _blocks(source: Path) -> Iterator[bytes]:
    try:
        with source.open("rb") as original:
            while block := original.read(_BLOCK_BYTES):
                yield block
    except FileNotFoundError as error:
        raise NotFound(f"the file '{source.name}' is not there.", why=str(source)) from error
    except OSError as error:
        raise BadInput(f"the file '{source.name}' cannot be read.", why=f"{source}: {error.strerror}") from error


def _claim(loose: Path, name: Path) -> None:
    try:
        name.hardlink_to(loose)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No links here (exFAT, some network disks): the name is reserved, then replaced; only a crash between shows.
        os.close(os.open(name, _NEW, 0o600))
        _rename(loose, name, replace=True)
    else:
        loose.unlink()


def _rename(source: Path, target: Path, *, replace: bool = False) -> None:
    if not replace and os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    for left in reversed(range(_RENAME_TRIES)):
        try:
            if replace:
                source.replace(target)
            else:
                source.rename(target)  # between the look and this, only an empty folder could be replaced
            return
        except PermissionError:
            if os.name != "nt" or not left:
                raise
            time.sleep(0.05)  # a virus scanner or an indexer looks at it  # pragma: no cover
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
            raise


def _sync(path: Path) -> None:
    if not _staged(path):  # a staging folder is synced once, as a whole
        _flush(path)


def _sync_folder(folder: Path) -> None:
    if not _staged(folder / "any"):
        _flush_folder(folder)


def _sync_tree(stage: Path) -> None:
    for path in [*sorted(stage.rglob("*"), reverse=True), stage]:  # what is inside goes first
        (_flush_folder if path.is_dir() else _flush)(path)


def _flush_folder(folder: Path) -> None:
    try:
        _flush(folder, os.O_RDONLY)
    except OSError as error:  # some shares know no such thing, and Windows opens no folder
        if os.name != "nt" and error.errno not in _NO_FOLDER_SYNC:
            raise


def _flush(path: Path, flags: int = os.O_RDWR | _BINARY) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _erase(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# Faults


@contextmanager
def explaining(path: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Turn what a disk refuses while `path` is written into a sentence with a cure."""
    try:
        yield
    except OSError as error:
        explained = _explained(error, path, needed_bytes)
        if explained is None:
            raise
        raise explained from error


def _explained(error: OSError, path: Path, needed_bytes: int) -> MdctlError | None:
    reason = f"{path}: {error.strerror or error}"
    if error.errno in _FULL:
        sizes = f"{_megabytes(needed_bytes)} to be written, {_megabytes(free_bytes(path))} free"
        cures = ("make room on it,", "or set MDCTL_HOME to a folder on a larger disk.")
        return NoSpace(f"the disk is full: {sizes}.", why=reason, fix=cures)
    if error.errno in _CLOSED:
        return NotReady(
            f"mdctl may not write to '{path.parent}'.", why=reason, fix="set MDCTL_HOME to a folder you may write to."
        )
    if error.errno in _FAILING:
        return NotReady(
            f"'{path.name}' could not be written.",
            why=reason,
            fix="look at the disk, or set MDCTL_HOME to a folder on another one",
        )
    return None


def free_bytes(path: Path) -> int:
    """How much room is left where a path lies, or would lie."""
    for place in (path, *path.parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return 0


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
