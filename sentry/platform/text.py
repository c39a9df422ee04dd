"""Text of the workload's on its way to a person: file names above all, which may hold anything but NUL and a slash."""

from __future__ import annotations


def printable(text: str) -> str:
    """With escapes for what a terminal would act on, or a reader could not tell from our own lines. Python's, without a codec to import."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
