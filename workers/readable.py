"""Text that can always be written, whatever the names of files hold."""

from __future__ import annotations


def readable(text: str) -> str:
    r"""The text as UTF-8 can say it: bytes of a file's name that are no text are spelled `\xff`."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape" if _is_name(text) else "backslashreplace").decode(
            errors="backslashreplace"
        )
    return text


def _is_name(text: str) -> bool:
    """Whether all that UTF-8 cannot say stands for bytes, as `os.fsdecode` puts them (PEP 383)."""
    return all("\udc80" <= character <= "\udcff" for character in text if "\ud800" <= character <= "\udfff")
