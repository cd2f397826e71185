// Names and logins made regular. Knows nothing of settings or accounts.

import { Value, asciiLowerCase, words } from "rolecall-plugin";

import { spell } from "./ascii.js";

/**
 * Whether `text` starts with `prefix`, whatever the case of ASCII letters.
 * @param {string} text
 * @param {string} prefix
 */
export function startsWith(text, prefix) {
  return asciiLowerCase(text).startsWith(asciiLowerCase(prefix));
}

/**
 * Whether `text` ends with `suffix`, whatever the case of ASCII letters.
 * @param {string} text
 * @param {string} suffix
 */
export function endsWith(text, suffix) {
  return asciiLowerCase(text).endsWith(asciiLowerCase(suffix));
}

/**
 * One space between words, none around them.
 * @param {string} name
 */
export function tidy(name) {
  return words(name).join(" ");
}

/**
 * The display name: given and family name; else what the identity provider shows, turned around where it is `Family, Given`.
 * @param {import("rolecall-plugin").User} user
 */
export function displayName(user) {
  const [given, family] = [user.givenName, user.familyName];
  if (given && family) return new Value(tidy(`${given.text} ${family.text}`), "name.givenName + name.familyName");
  return (user.displayName ?? user.formattedName)?.map((name) => {
    const parts = name.split(",");
    return tidy(parts.length === 2 ? `${parts[1]} ${parts[0]}` : name);
  });
}

/**
 * The login: the local part of a user name in lower-case ASCII, with `domain` or the user name's own. Nothing when a letter has no
 * ASCII spelling here: leaving it out would give two people one name.
 * @param {string} userName
 * @param {string | null} domain
 */
export function login(userName, domain) {
  const at = userName.lastIndexOf("@");
  const [local, ownDomain] = at < 0 ? [userName, ""] : [userName.slice(0, at), userName.slice(at + 1)];
  let made = "";
  for (const letter of local) {
    const isSeparator = letter === "." || letter === "-" || letter === "_";
    if ((letter >= "a" && letter <= "z") || (letter >= "0" && letter <= "9") || letter === "+") {
      made += letter;
    } else if (letter >= "A" && letter <= "Z") {
      made += letter.toLowerCase();
    } else if (letter === "'" || letter === "’" || letter === "`") {
      continue;
    } else if (letter < "\x80" || words(letter).length === 0) {
      if (made !== "" && !/[._-]$/.test(made)) made += isSeparator ? letter : ".";
    } else {
      const spelled = spell(letter);
      if (spelled === undefined) return undefined;
      made += spelled;
    }
  }
  made = made.replace(/[._-]+$/, "");
  if (made === "") return undefined;
  const chosen = domain ?? ownDomain;
  return chosen === "" ? made : `${made}@${chosen.toLowerCase()}`;
}
