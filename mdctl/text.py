"""Foreign text made harmless on its way to the terminal, and names made from text."""

import re
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def safe(text: str, limit: int = 500) -> str:
    """Text as a terminal may show it: what does not print is spelt out, what is too long is cut in the middle."""
    spelt = "".join(c if _prints(c) else _spell(c) for c in text)
    if len(spelt) <= limit:
        return spelt
    keep = limit - 1
    return f"{spelt[: keep - keep // 2]}…{spelt[len(spelt) - keep // 2 :]}"


def _prints(char: str) -> bool:
    return char == " " or (char.isprintable() and unicodedata.category(char) not in _HIDDEN)


def _spell(char: str) -> str:
    if 0xDC80 <= ord(char) <= 0xDCFF:  # a byte of a file name that was no UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def slug(text: str, limit: int = 64) -> str:
    """The nearest project-like name: lower-case ASCII words joined by dashes, possibly empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:limit].rstrip("-_")
