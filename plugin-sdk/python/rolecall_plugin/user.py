"""A person as the identity provider describes them, in Rolecall's normal form. What the plugin did not declare is absent."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .text import WHITE_SPACE, Value, ascii_lower, present

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def _member(of: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    value = of.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"expected an object at {path}")
    return value


class Email:
    """One of a person's e-mail addresses."""

    def __init__(self, email: Mapping[str, Any]) -> None:
        self.address = present(email.get("value"), "emails.value")
        #: `work`, `home`, …
        self.type = present(email.get("type"), "emails.type")
        #: Whether it is the one to write to.
        self.primary = email.get("primary") is True


class Extension:
    """The attributes of a custom extension."""

    def __init__(self, urn: str, attributes: Mapping[str, Any]) -> None:
        self._urn = urn
        self._attributes = attributes

    def get(self, attribute: str) -> Any:
        """An attribute as it is."""
        return self._attributes.get(attribute)

    def text(self, attribute: str) -> Value | None:
        """A text attribute that is not blank."""
        value = self.get(attribute)
        text = value.strip(WHITE_SPACE) if isinstance(value, str) else ""
        return Value(text, f"{self._urn}:{attribute}") if text else None

    def texts(self, attribute: str) -> list[Value]:
        """The texts of a multi-valued attribute that are not blank."""
        elements = self.get(attribute)
        texts = [element.strip(WHITE_SPACE) for element in elements if isinstance(element, str)] if isinstance(elements, list) else []
        return [Value(text, f"{self._urn}:{attribute}") for text in texts if text]


class User:
    """A person. Texts are trimmed, and blank ones are `None`."""

    def __init__(self, user: Mapping[str, Any]) -> None:
        if not isinstance(user, dict):
            raise TypeError("a user is a JSON object")
        self._user = user
        self.emails = [Email(email) for email in user.get("emails") or []]

    @staticmethod
    def from_json(text: str) -> "User":
        """Reads the JSON text of a user in Rolecall's normal form."""
        return User(json.loads(text))

    def _core(self, name: str) -> Value | None:
        return _text(self._user, name, name)

    def _name(self, name: str) -> Value | None:
        return _text(_member(self._user, "name", "name"), name, f"name.{name}")

    def _enterprise(self, name: str) -> Value | None:
        return _text(_member(self._user, ENTERPRISE, ENTERPRISE), name, f"{ENTERPRISE}:{name}")

    def _manager(self, name: str) -> Value | None:
        manager = _member(_member(self._user, ENTERPRISE, ENTERPRISE), "manager", f"{ENTERPRISE}:manager")
        return _text(manager, name, f"{ENTERPRISE}:manager.{name}")

    @property
    def user_name(self) -> Value | None:
        """`userName`"""
        return self._core("userName")

    @property
    def external_id(self) -> Value | None:
        """`externalId`"""
        return self._core("externalId")

    @property
    def display_name(self) -> Value | None:
        """`displayName`"""
        return self._core("displayName")

    @property
    def nick_name(self) -> Value | None:
        """`nickName`"""
        return self._core("nickName")

    @property
    def user_type(self) -> Value | None:
        """`userType`"""
        return self._core("userType")

    @property
    def title(self) -> Value | None:
        """`title`"""
        return self._core("title")

    @property
    def locale(self) -> Value | None:
        """`locale`"""
        return self._core("locale")

    @property
    def preferred_language(self) -> Value | None:
        """`preferredLanguage`"""
        return self._core("preferredLanguage")

    @property
    def timezone(self) -> Value | None:
        """`timezone`"""
        return self._core("timezone")

    @property
    def formatted_name(self) -> Value | None:
        """`name.formatted`"""
        return self._name("formatted")

    @property
    def given_name(self) -> Value | None:
        """`name.givenName`"""
        return self._name("givenName")

    @property
    def middle_name(self) -> Value | None:
        """`name.middleName`"""
        return self._name("middleName")

    @property
    def family_name(self) -> Value | None:
        """`name.familyName`"""
        return self._name("familyName")

    @property
    def employee_number(self) -> Value | None:
        """The enterprise extension's `employeeNumber`."""
        return self._enterprise("employeeNumber")

    @property
    def cost_center(self) -> Value | None:
        """The enterprise extension's `costCenter`."""
        return self._enterprise("costCenter")

    @property
    def organization(self) -> Value | None:
        """The enterprise extension's `organization`."""
        return self._enterprise("organization")

    @property
    def division(self) -> Value | None:
        """The enterprise extension's `division`."""
        return self._enterprise("division")

    @property
    def department(self) -> Value | None:
        """The enterprise extension's `department`."""
        return self._enterprise("department")

    @property
    def manager(self) -> Value | None:
        """The manager as the identity provider names them: `manager.value`."""
        return self._manager("value")

    @property
    def manager_name(self) -> Value | None:
        """`manager.displayName`"""
        return self._manager("displayName")

    @property
    def active(self) -> bool | None:
        """`active`"""
        return self._user.get("active")

    def email(self, type: str) -> Value | None:
        """The first address of that type."""
        wanted = ascii_lower(type)
        of_type = (email for email in self.emails if email.type is not None and ascii_lower(email.type) == wanted)
        return _first_address(of_type, f'emails[type eq "{type}"].value')

    @property
    def best_email(self) -> Value | None:
        """The primary address; else the one for work, else the first."""
        primary = (email for email in self.emails if email.primary)
        return (
            _first_address(primary, "emails[primary eq true].value")
            or self.email("work")
            or _first_address(self.emails, "emails.value")
        )

    def extension(self, urn: str) -> Extension | None:
        """A custom extension by its URN, if the person has it."""
        wanted = ascii_lower(urn)
        for name, attributes in self._user.items():
            if name.startswith("urn:") and ascii_lower(name) == wanted:
                return Extension(urn, attributes) if isinstance(attributes, dict) else None
        return None


def _text(of: Mapping[str, Any], name: str, path: str) -> Value | None:
    text = present(of.get(name), path)
    return None if text is None else Value(text, path)


def _first_address(emails: Iterable[Email], source: str) -> Value | None:
    return next((Value(email.address, source) for email in emails if email.address is not None), None)
