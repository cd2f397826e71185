"""Texts that know where they came from. Knows nothing of SCIM's attributes."""

import re
from collections.abc import Callable
from dataclasses import dataclass

# Written out, so that every kit trims the same letters: Unicode's White_Space.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_BETWEEN = re.compile(f"[{WHITE_SPACE}]+")
_ASCII_LOWER = {ord("A") + number: ord("a") + number for number in range(26)}


@dataclass(frozen=True, slots=True)
class Value:
    """A text with its source: a SCIM path, or the name of a rule."""

    text: str
    source: str

    def map(self, change: Callable[[str], str]) -> "Value":
        """Another text made of this one, from the same source."""
        return Value(change(self.text), self.source)

    def because(self, rule: str) -> "Value":
        """The same text, credited to a rule."""
        return Value(self.text, rule)


def words(text: str) -> list[str]:
    """The words of a text: what stands between blanks of any script."""
    return [word for word in _BETWEEN.split(text) if word]


def ascii_lower(text: str) -> str:
    """The text with ASCII letters in lower case; letters of other scripts stay as they are."""
    return text.translate(_ASCII_LOWER)


def present(value: object, path: str) -> str | None:
    """A text that the identity provider sent. Clients send `""` and blanks for what they don't know: that is no value."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"expected a text at {path}")
    return value.strip(WHITE_SPACE) or None
