"""A plugin's hooks over the contract's texts: what the sandbox calls, and what unit tests call natively."""

import dataclasses
import json
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import Account, Call, Host, OutOfScope, Plugin, Proposal, Refusal, User


@dataclass
class Question:
    """A question as it crosses the contract."""

    as_of: str = "2026-01-01T00:00:00Z"
    connection: str = "connection"
    settings: str = "{}"
    user: str = "{}"
    groups: Sequence[str] = field(default_factory=tuple)


_WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "an object", type(None): "null"}


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if origin is list:
        (element,) = typing.get_args(hint)
        return isinstance(value, list) and all(_fits(part, element) for part in value)
    if origin is dict:
        _, element = typing.get_args(hint)
        return isinstance(value, dict) and all(_fits(part, element) for part in value.values())
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    # True is a number for Python, and not for whoever writes settings.
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _expected(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_expected(part) for part in typing.get_args(hint))
    if origin is list:
        return f"a list, of which each is {_expected(typing.get_args(hint)[0])}"
    return _WORDS.get(origin or hint, str(hint))


def validate_settings(plugin: Plugin[Any], text: str) -> None:
    """`validate-settings`: raises a `Refusal` when they won't do."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise Refusal("settings_invalid", str(error)) from None
    if not isinstance(given, dict):
        raise Refusal("settings_invalid", "expected a JSON object")
    hints = typing.get_type_hints(plugin.settings)
    names = [field.name for field in dataclasses.fields(plugin.settings)]
    for name, value in given.items():
        if name not in names:
            known = ", ".join(f"`{known}`" for known in names) or "none"
            raise Refusal("settings_invalid", f"unknown field `{name}`, expected one of {known}", name)
        if not _fits(value, hints[name]):
            raise Refusal("settings_invalid", f"expected {_expected(hints[name])}", name)
    plugin.check(_settings(plugin, text))


def _settings(plugin: Plugin[Any], text: str) -> Any:
    return plugin.settings(**json.loads(text))


def _call(question: Question, host: Host) -> Call:
    return Call(question.as_of, question.connection, question.groups, host)


def transform(plugin: Plugin[Any], question: Question, host: Host) -> Account | OutOfScope:
    """`transform-user`: raises a `Refusal` for a person who is refused."""
    hook = getattr(plugin, "transform")
    answer = hook(_call(question, host), _settings(plugin, question.settings), User.from_json(question.user))
    if not isinstance(answer, Account | OutOfScope):
        raise TypeError("`transform` returns an `Account` or an `OutOfScope`, or raises a `Refusal`")
    return answer


def propose(plugin: Plugin[Any], question: Question, account: str, host: Host) -> list[Proposal]:
    """`propose-roles`."""
    hook = getattr(plugin, "propose")
    settings, user = _settings(plugin, question.settings), User.from_json(question.user)
    return list(hook(_call(question, host), settings, user, Account.from_json(account)))
