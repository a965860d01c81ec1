"""Pieces of the HTML pages that mdctl writes: text made harmless, files laid into a page, and a head that shuts it.

A page is whole in itself. Its head lets it run the one script and wear the one style that it was written with, known by
their hashes, and show what lies in it; so nothing that a prompt smuggled in could run or send anything.
"""

import base64
import hashlib
from html import escape

from mdctl.text import safe


def words(text: str, limit: int = 2000) -> str:
    """Foreign text as it may stand in a page, between tags and in quoted attributes."""
    return escape(safe(text, limit))


def embedded(content: bytes, kind: str) -> str:
    """A file as an address that holds it, such as one of kind `video/mp4`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def head(title: str, style: str, script: str = "", *, beside: bool = False) -> str:
    """The beginning of a page up to its body; `beside` lets it show videos and pictures that lie near it, too."""
    shown = "data: 'self' file:" if beside else "data:"
    policy = [
        "default-src 'none'",
        f"img-src {shown}",
        f"media-src {shown}",
        f"style-src {_known(style)}",
        f"script-src {_known(script)}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(policy)}">',
            f"<title>{words(title, 120)}</title>",
            f"<style>{style}</style>",
            "</head>",
        ]
    )


def _known(text: str) -> str:
    """The source of a policy that fits this text alone."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" if text else "'none'"
