"""What may be printed: texts of a database or a user that can do no harm where they are shown."""

import logging
import re

# Control characters but for tab and new line, what turns the direction of writing, separators
# that end a line, and halves of characters, which no file and no terminal takes.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_PASSWORDS = (
    re.compile(r"(\b[\w+.-]+://[^\s:/@]*:)\S*(?=@)"),
    # An address that was misspelt is printed, as what could not be opened.
    re.compile(
        r"(?i)(\b(?:postgres|mysql|mariadb|oracle|mssql|redis)[\w+]*:?/*[^\s:/@]+:)(?!/)\S*(?=@)"
    ),
    re.compile(r"(?i)((?:passw(?:or)?d|pwd)=)(?:\\?'[^']*'|\"[^\"]*\"|[^\s&'\"]+)"),
)


def escaped(text: str) -> str:
    r"""Return a text with harmful characters written out, as ``\u001b``; JSON stays JSON."""
    return _HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def printable(text: str) -> str:
    """Return a text as it may be printed: `escaped`, and without the passwords of URLs."""
    if "@" in text or "=" in text:
        for password in _PASSWORDS:
            text = password.sub(r"\1***", text)
    return escaped(text)


class _Printable(logging.Filter):
    """Makes every message of evotune's log printable, whoever handles it."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        shown = printable(message)
        if shown != message:
            record.msg, record.args = shown, ()
        return True


logging.getLogger("evotune").addFilter(_Printable())
