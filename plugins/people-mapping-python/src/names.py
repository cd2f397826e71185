"""Names and logins made regular. Knows nothing of settings or accounts."""

from ascii_spelling import spell
from rolecall_plugin import User, Value, ascii_lower, words

SEPARATORS = ".-_"


def starts_with(text: str, prefix: str) -> bool:
    """Whether `text` starts with `prefix`, whatever the case of ASCII letters."""
    return ascii_lower(text).startswith(ascii_lower(prefix))


def ends_with(text: str, suffix: str) -> bool:
    """Whether `text` ends with `suffix`, whatever the case of ASCII letters."""
    return ascii_lower(text).endswith(ascii_lower(suffix))


def tidy(name: str) -> str:
    """One space between words, none around them."""
    return " ".join(words(name))


def _turned(name: str) -> str:
    family, comma, given = name.partition(",")
    return tidy(f"{given} {family}" if comma and "," not in given else name)


def display_name(user: User) -> Value | None:
    """The display name: given and family name; else what the identity provider shows, turned around where it is `Family, Given`."""
    given, family = user.given_name, user.family_name
    if given is not None and family is not None:
        return Value(tidy(f"{given.text} {family.text}"), "name.givenName + name.familyName")
    shown = user.display_name or user.formatted_name
    return None if shown is None else shown.map(_turned)


def login(user_name: str, domain: str | None) -> str | None:
    """The login: the local part of a user name in lower-case ASCII, with `domain` or the user name's own.

    None when a letter has no ASCII spelling here: leaving it out would give two people one name.
    """
    local, at, own_domain = user_name.rpartition("@")
    if not at:
        local, own_domain = user_name, ""
    made = ""
    for letter in local:
        if "a" <= letter <= "z" or "0" <= letter <= "9" or letter == "+":
            made += letter
        elif "A" <= letter <= "Z":
            made += letter.lower()
        elif letter in "'’`":
            continue
        elif letter.isascii() or not words(letter):
            if made and made[-1] not in SEPARATORS:
                made += letter if letter in SEPARATORS else "."
        else:
            spelled = spell(letter)
            if spelled is None:
                return None
            made += spelled
    made = made.rstrip(SEPARATORS)
    if not made:
        return None
    domain = own_domain if domain is None else domain
    return f"{made}@{domain.lower()}" if domain else made
