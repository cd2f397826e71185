"""What Entra ID customers ask of a mapping: department and cost centre from a custom extension, contractors by e-mail suffix, names and
logins made regular, people without an employee number refused, test accounts left out. The same as ../../people-mapping, in Python.
"""

from dataclasses import dataclass, field

from names import display_name, ends_with, login, starts_with, tidy
from rolecall_plugin import ENTERPRISE, Account, Call, OutOfScope, Plugin, Refusal, User, Value


@dataclass
class Settings:
    """How one tenant's directory differs from the next."""

    #: The URN of the custom extension that holds department and cost centre.
    extension: str | None = None
    department_attribute: str = "department"
    cost_center_attribute: str = "costCenter"
    #: Whose work e-mail address ends with one of these is a contractor.
    contractor_email_suffixes: list[str] = field(default_factory=list)
    #: Whether employees need an employee number; contractors never do.
    require_employee_number: bool = False
    #: The domain of employees' logins; without it they keep the one of their user name.
    login_domain: str | None = None
    #: Accounts whose user name starts with one of these are out of scope.
    test_account_prefixes: list[str] = field(default_factory=list)


def refuse(path: str, message: str) -> None:
    raise Refusal("settings_invalid", message, path)


class PeopleMapping(Plugin[Settings]):
    """The plugin."""

    name = "people-mapping-python"
    version = "0.1.0"
    reads = ("userName", "displayName", "name", "emails", "userType", "title", "locale", ENTERPRISE, "{extension}")
    settings = Settings

    def check(self, settings: Settings) -> None:
        if settings.extension is not None and not settings.extension.startswith("urn:"):
            refuse("extension", "expected the URN of an extension, such as `urn:ietf:params:scim:schemas:extension:acme:2.0:User`")
        if any("@" not in suffix for suffix in settings.contractor_email_suffixes):
            refuse(
                "contractor_email_suffixes",
                "a suffix has an `@` in it, such as `@contractors.acme.example`: others match too many people",
            )
        domain = settings.login_domain
        if domain is not None and (domain == "" or "@" in domain or not domain.isascii()):
            refuse("login_domain", "expected an ASCII domain without `@`, such as `acme.example`")
        if any(prefix.strip() == "" for prefix in settings.test_account_prefixes):
            refuse("test_account_prefixes", "an empty prefix would leave everybody out")

    def transform(self, call: Call, settings: Settings, user: User) -> Account | OutOfScope:
        user_name = user.user_name
        if user_name is None:
            raise Refusal("user_name_missing", "the person has no user name", "userName")
        for prefix in settings.test_account_prefixes:
            if starts_with(user_name.text, prefix):
                return OutOfScope(f"test account: the user name starts with `{prefix}`")
        suffix = contractor_suffix(settings, user)
        if settings.require_employee_number and suffix is None and user.employee_number is None:
            message = (
                "an employee needs an employee number: fill it in at the identity provider, "
                "or give the person a contractor's e-mail address"
            )
            raise Refusal("employee_number_missing", message, f"{ENTERPRISE}:employeeNumber")
        name = login(user_name.text, settings.login_domain if suffix is None else None)
        if name is None:
            message = "no ASCII login can be made of the user name: use letters of the Latin, Greek or Cyrillic script before the `@`"
            raise Refusal("login_unsupported", message, "userName")

        if suffix is None:
            worker_type = Value("employee", "no contractor's e-mail address")
        else:
            worker_type = Value("contractor", f"contractor_email_suffixes: {suffix}")
        extension = user.extension(settings.extension) if settings.extension is not None else None
        account = Account(Value(name, user_name.source))
        account.set("display_name", display_name(user))
        account.set("given_name", user.given_name and user.given_name.map(tidy))
        account.set("family_name", user.family_name and user.family_name.map(tidy))
        account.set("email", user.best_email and user.best_email.map(str.lower))
        account.tag("worker_type", worker_type)
        account.set("user_type", worker_type)
        account.set("title", user.title and user.title.map(tidy))
        account.set("department", (extension and extension.text(settings.department_attribute)) or user.department)
        account.set("cost_center", (extension and extension.text(settings.cost_center_attribute)) or user.cost_center)
        account.set("division", user.division)
        account.set("organization", user.organization)
        account.set("employee_number", user.employee_number)
        account.set("manager", user.manager)
        account.set("locale", user.locale)
        account.tag("idp_user_type", user.user_type)
        return account


def contractor_suffix(settings: Settings, user: User) -> str | None:
    """The suffix that makes this person a contractor."""
    email = user.email("work") or user.best_email
    if email is None:
        return None
    return next((suffix for suffix in settings.contractor_email_suffixes if ends_with(email.text, suffix)), None)


plugin = PeopleMapping()
