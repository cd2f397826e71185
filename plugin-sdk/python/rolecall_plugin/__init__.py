"""Write Rolecall plugins in Python.

A plugin is a subclass of `Plugin` with a hook or both, and `src/plugin.py` names an object of it `plugin`. The same code runs natively
through `rolecall_plugin.run`, which is how plugins are unit-tested: nothing here needs the sandbox.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from .account import ATTRIBUTES, TEXT_BYTES_LIMIT, Account, Attribute
from .text import Value, ascii_lower, words
from .user import ENTERPRISE, Email, Extension, User

__all__ = [
    "ATTRIBUTES",
    "ENTERPRISE",
    "TEXT_BYTES_LIMIT",
    "Account",
    "Attribute",
    "Call",
    "Email",
    "Extension",
    "Host",
    "Level",
    "NoSettings",
    "OutOfScope",
    "Plugin",
    "Proposal",
    "Refusal",
    "User",
    "Value",
    "ascii_lower",
    "words",
]


class Level(Enum):
    """How much a log line matters."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class Host(Protocol):
    """What a plugin may ask of Rolecall. In unit tests, an object of yours."""

    def log(self, level: Level, message: str) -> None:
        """Writes a line to the tenant's plugin log."""

    def lookup(self, table: str, key: str) -> Mapping[str, str] | None:
        """The row with that key in a lookup table: column → value."""


class Refusal(Exception):
    """Raised: the author says no, to a person or to settings. Whatever else is raised is a fault, and no verdict.

    `code` is a stable word of lower-case letters, digits and underscores; `message` says what is wrong and what to do; `path` is what is
    concerned: a SCIM path, or a path in the settings.
    """

    def __init__(self, code: str, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path


@dataclass(frozen=True)
class OutOfScope:
    """This person is none of the tenant's, and why: accepted over SCIM, no account."""

    reason: str


@dataclass(frozen=True, order=True)
class Proposal:
    """A nominated role, and the rule that nominated it."""

    role: str
    because: str | None = None


@dataclass(frozen=True)
class Call:
    """What every call carries beside the person."""

    #: The instant of the evaluation, RFC 3339 in UTC with whole seconds: texts of this form compare as instants do.
    as_of: str
    #: The connection's id.
    connection: str
    #: The handles of the person's groups, direct and inherited, sorted.
    groups: Sequence[str]
    host: Host

    def log(self, level: Level, message: str) -> None:
        """Writes a line to the tenant's plugin log. Too much is dropped."""
        self.host.log(level, message)

    def lookup(self, table: str, key: str) -> Mapping[str, str] | None:
        """The row with that key in one of the tenant's lookup tables: column → value."""
        return self.host.lookup(table, key)


@dataclass
class NoSettings:
    """For a plugin without settings."""


S = TypeVar("S")


class Plugin(Generic[S]):
    """A plugin: what it says of itself, and one hook or both.

    A hook is a method of the subclass:

        def transform(self, call: Call, settings: Settings, user: User) -> Account | OutOfScope
        def propose(self, call: Call, settings: Settings, user: User, account: Account) -> list[Proposal]
    """

    #: Its name and version, for people: 1 to 100 bytes.
    name: ClassVar[str]
    version: ClassVar[str]
    #: The SCIM paths that it reads; the user holds these and nothing else. `{x}` stands for the text of the setting `x`.
    reads: ClassVar[Sequence[str]]
    #: A dataclass with the settings and their defaults: what is not in it is refused, and so is what has another type.
    settings: ClassVar[type[Any]] = NoSettings

    def check(self, settings: S) -> None:
        """Raises a `Refusal` when settings won't do. Asked when a revision is checked, not at every call."""
