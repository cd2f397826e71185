"""The account that a mapping shapes, with where each value came from."""

import json
import re
from typing import Any, Literal, get_args

from .text import WHITE_SPACE, Value

#: The attributes of an account that hold one text. `user_name`, the login, is required.
Attribute = Literal[
    "user_name",
    "display_name",
    "given_name",
    "family_name",
    "email",
    "user_type",
    "title",
    "department",
    "division",
    "organization",
    "cost_center",
    "employee_number",
    "manager",
    "locale",
]
ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)
#: The longest text in an account, in bytes: longer ones are cut, but for the login.
TEXT_BYTES_LIMIT = 1_024

_CONTROL = {code: " " for code in (*range(0x20), *range(0x7F, 0xA0))}
# As the other kits look for them: by what their first byte in UTF-8 may be.
_PERHAPS_CONTROL = re.compile("[\x00-\x1f\x7f-\xbf]")


def _fitted(value: Value | None) -> str | None:
    """A text as an account may have it; None when nothing is left of it."""
    if value is None:
        return None
    text = value.text
    if _PERHAPS_CONTROL.search(text):
        text = text.translate(_CONTROL).strip(WHITE_SPACE)
    # No letter has more than four bytes.
    if len(text) * 4 > TEXT_BYTES_LIMIT:
        text = text.encode()[:TEXT_BYTES_LIMIT].decode(errors="ignore")
    return text or None


class Account:
    """A local account."""

    def __init__(self, user_name: Value) -> None:
        self._texts: dict[str, str] = {"user_name": user_name.text}
        self._tags: dict[str, list[str]] = {}
        self._provenance: dict[str, str] = {"user_name": user_name.source}

    @staticmethod
    def from_json(text: str) -> "Account":
        """Reads an account that Rolecall handed over: it has no provenance."""
        read: dict[str, Any] = json.loads(text)
        account = Account(Value(read["user_name"], ""))
        # A newer Rolecall may know more attributes than this plugin was built with.
        account._texts = {name: read[name] for name in ATTRIBUTES if name in read}
        account._tags = {name: list(texts) for name, texts in read.get("tags", {}).items()}
        account._provenance = {}
        return account

    def set(self, attribute: Attribute, value: Value | None) -> "Account":
        """Sets an attribute, if there is a value. Control characters become spaces, and what is too long is cut."""
        if attribute not in ATTRIBUTES:
            raise ValueError(f"an account has no attribute `{attribute}`")
        text = _fitted(value)
        if value is not None and text is not None:
            self._texts[attribute] = text
            self._provenance[attribute] = value.source
        return self

    def tag(self, name: str, value: Value | None) -> "Account":
        """Adds a text to the tag of that name, which policies can read. Fitted as in `set`."""
        text = _fitted(value)
        if value is not None and text is not None:
            texts = self._tags.setdefault(name, [])
            if text not in texts:
                texts.append(text)
            self._provenance[f"tags.{name}"] = value.source
        return self

    def get(self, attribute: Attribute) -> str | None:
        """An attribute."""
        return self._texts.get(attribute)

    def tagged(self, name: str) -> list[str]:
        """The texts of a tag."""
        return list(self._tags.get(name, ()))

    @property
    def provenance(self) -> dict[str, str]:
        """For each attribute and tag (`tags.name`), where its value came from."""
        return dict(self._provenance)

    def to_json(self) -> str:
        """As it crosses the contract."""
        account: dict[str, Any] = {name: self._texts[name] for name in ATTRIBUTES if name in self._texts}
        if self._tags:
            account["tags"] = self._tags
        return json.dumps(account, ensure_ascii=False)
