"""What becomes of a person: an account, out of scope, or a refusal."""

from dataclasses import dataclass, field

from rolecall_plugin import Account, Call, OutOfScope, Plugin, Refusal, User


@dataclass
class Settings:
    """What tenant.toml says under `settings`, and what holds where it says nothing. A setting that is not here is refused."""

    #: People whose user name ends with one of these are out of scope.
    ignored_suffixes: list[str] = field(default_factory=list)


class Mapping(Plugin[Settings]):
    """The plugin."""

    name = "{name}"
    version = "0.1.0"
    # What is not named here is cut out of the user before the plugin sees it.
    reads = ("userName", "displayName", "name", "emails", "title", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department")
    settings = Settings

    def transform(self, call: Call, settings: Settings, user: User) -> Account | OutOfScope:
        login = user.user_name
        if login is None:
            raise Refusal("user_name_missing", "a person needs a user name", "userName")
        if any(login.text.endswith(suffix) for suffix in settings.ignored_suffixes):
            return OutOfScope("the user name has a suffix that is ignored")
        account = Account(login.map(str.lower))
        account.set("display_name", user.display_name)
        account.set("email", user.best_email)
        account.set("title", user.title)
        account.set("department", user.department)
        return account


plugin = Mapping()
