"""The hub: what a repository holds at a commit, and its files byte by byte. The only file that opens a connection.

Which token is sent is the business of the hub's own library; it goes to the hub alone, not to where that redirects to.
Nothing is asked for or fetched unencrypted, unless the hub is this computer. Faults become `NotFound` (3),
`NotInstalled` (8) where a login or another try may help, and `Refused` (10).
"""

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mdctl import __version__
from mdctl.errors import MdctlError, NotFound, NotInstalled, Refused
from mdctl.text import safe
from mdctl.workspace.pulled import Stated

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub.hf_api import RepoSibling

PAUSES_S = (1.0, 2.0, 4.0)
"""How long to wait before each further try, where the hub is busy or breaks off; once something arrives, anew."""

_LOGIN = re.compile(r"^(\w+://)?.*@", re.DOTALL)
"""Name and password in an address."""

_TIMEOUT_S = 30.0
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PASSING = (408, 429, 500, 502, 503, 504)
_THIS_COMPUTER = ("localhost", "127.0.0.1", "::1")
_MOST_READ_BYTES = 20_000_000


@dataclass(frozen=True)
class Listing:
    """What a repository holds at one commit."""

    repository: str
    """Its id, as the hub calls it today."""
    commit: str
    """The full commit."""
    licence: str
    """What its card says; '' when it says nothing."""
    files: Mapping[str, Stated]
    """By path; those of which the hub states no hash are left out, since nobody could tell whether they arrived."""


class Hub:
    """The hub that `HF_ENDPOINT` names, or the public one; `NotInstalled` when mdctl is to stay offline."""

    def __init__(self, *, offline: bool = False) -> None:
        from huggingface_hub import HfApi, constants, set_client_factory

        if offline or constants.is_offline_mode():
            fix = "run the same line again without --offline and with HF_HUB_OFFLINE unset."
            raise NotInstalled("a model cannot be pulled offline.", saved="what is there is kept.", fix=fix)
        # Else the library tells the hub what is installed here, and asks it for programs to look for.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # the screen belongs to the caller
        set_client_factory(_client)
        # The library reads the variable once, when it is imported, and takes an empty one for an address.
        endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT or constants._HF_DEFAULT_ENDPOINT
        self._api = HfApi(endpoint=endpoint, library_name="mdctl", library_version=__version__)
        self._shown = _LOGIN.sub(r"\1", endpoint)

    def listing(self, repository: str, revision: str | None) -> Listing:
        """What a repository holds, at a commit or at its newest one."""
        pauses = list(PAUSES_S)
        while True:
            with self._patience(repository, pauses):
                told = self._api.model_info(repository, revision=revision, files_metadata=True, timeout=_TIMEOUT_S)
                licence = told.card_data.get("license") if told.card_data else None
                files = {stated.source: stated for stated in map(_stated, told.siblings or ()) if stated}
                commit = str(told.sha)
                if not _COMMIT.fullmatch(commit) or revision not in (None, commit):
                    raise ValueError(f"commit {commit} instead of {revision or 'one of 40 digits'}")
                return Listing(told.id, commit, str(licence or ""), files)

    def read(self, listing: Listing, stated: Stated) -> bytes:
        """A small file; `Refused` when it is not what the hub states."""
        if stated.size_bytes > _MOST_READ_BYTES:
            raise Refused(f"'{safe(stated.source, 120)}' is too large: {stated.size_bytes} bytes.")
        content = b"".join(self.stream(listing, stated, 0))
        digest = stated.hasher()
        digest.update(content)
        if digest.hexdigest() != stated.digest:
            told = f"{stated.algorithm} {digest.hexdigest()} instead of {stated.digest}."
            raise Refused(f"'{safe(stated.source, 120)}' is not what the hub states.", why=told)
        return content

    def stream(self, listing: Listing, stated: Stated, start: int) -> Iterator[bytes]:
        """A file from a byte on, over connections that break off, and never more of it than its size."""
        pauses = list(PAUSES_S)
        while start < stated.size_bytes:
            with self._patience(listing.repository, pauses):
                for block in self._body(listing, stated, start):
                    start += len(block)
                    pauses[:] = PAUSES_S
                    yield block
                if start < stated.size_bytes:
                    raise ConnectionError(f"the answer ended after {start} of {stated.size_bytes} bytes")

    def _body(self, listing: Listing, stated: Stated, start: int) -> Iterator[bytes]:
        from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but not marked so

        place = hf_hub_url(listing.repository, stated.source, revision=listing.commit, endpoint=self._api.endpoint)
        headers = build_hf_headers(library_name="mdctl", library_version=__version__)
        headers |= {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        with get_session().stream("GET", place, headers=headers) as response:
            hf_raise_for_status(response)
            known = 0 if response.status_code == 206 else start  # who does not know ranges begins at the beginning
            for block in response.iter_bytes():
                fresh = block[known:][: stated.size_bytes - start]
                known = max(0, known - len(block))
                start += len(fresh)
                if fresh:
                    yield fresh
                if start == stated.size_bytes:
                    return

    @contextmanager
    def _patience(self, repository: str, pauses: list[float]) -> Iterator[None]:
        """Wait after a fault that may pass, for another try; explain one that will not, or when no pause is left."""
        import httpx2

        try:
            yield
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            status = fault.response.status_code if hasattr(fault, "response") else 0
            broken = not status and isinstance(fault, (httpx2.TransportError, OSError))
            ours = isinstance(fault, httpx2.LocalProtocolError)  # in what we would send: no try changes that
            if not pauses or not (status in _PASSING or (broken and not ours)):
                raise self._explained(fault, status, repository) from fault
            time.sleep(pauses.pop(0))

    def _explained(self, fault: Exception, status: int, repository: str) -> MdctlError:
        """A fault as a sentence, without what the hub says and what quotes a header: both may repeat the token."""
        import httpx2
        from huggingface_hub.errors import HFValidationError, RevisionNotFoundError

        page = f"{self._shown}/{repository}"
        if status in (401, 403):
            return NotInstalled(
                f"the hub does not give '{safe(repository, 120)}' to everybody.",
                why=f"it is gated or private, or there is no such repository (HTTP {status}).",
                fix=(
                    f"look at {safe(page, 200)} and accept its terms",
                    "hf auth login",
                    "then run the same line again.",
                ),
            )
        if status == 404 or isinstance(fault, HFValidationError):
            missing = "commit of the repository" if isinstance(fault, RevisionNotFoundError) else "repository"
            return NotFound(f"the hub has no such {missing} '{safe(repository, 120)}'.", fix="mdctl models list")
        quotes = isinstance(fault, (httpx2.ProtocolError, httpx2.InvalidURL, ValueError))
        told = type(fault).__name__ + ("" if quotes else f": {safe(str(fault), 200)}")
        return NotInstalled(
            "the hub cannot answer now." if status else "the hub cannot be reached, or does not speak as one.",
            why=f"{safe(self._shown, 200)}: {f'HTTP {status}' if status else told}",
            saved="what has arrived is kept.",
            fix="run the same line again",
        )


def _stated(file: "RepoSibling") -> Stated | None:
    if file.lfs:
        return Stated(file.rfilename, file.lfs.size, "sha256", file.lfs.sha256)
    if file.size is not None and file.blob_id:
        return Stated(file.rfilename, file.size, "git-sha1", file.blob_id)
    return None


def _client() -> "httpx2.Client":
    import httpx2

    return httpx2.Client(event_hooks={"request": [_private]}, follow_redirects=True, timeout=_TIMEOUT_S)


def _private(request: "httpx2.Request") -> None:
    """Refuse to send what others could read or change on its way; redirects come by here too."""
    scheme, host = request.url.scheme, request.url.host
    if scheme != "https" and (scheme != "http" or host not in _THIS_COMPUTER):
        raise Refused(
            "the connection to the hub would not be encrypted.",
            why=f"{safe(scheme, 20)}://{safe(host, 200)}",
            fix="set HF_ENDPOINT to an address that begins with https://, or unset it",
        )
