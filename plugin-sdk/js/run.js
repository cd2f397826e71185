// A plugin's hooks over the contract's texts: what the sandbox calls, and what unit tests call in Node.

import { Account, Call, OutOfScope, Refusal, User } from "./index.js";

// What kind of value a setting is, in words that its author knows.
function kind(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return { string: "a text", number: "a number", boolean: "true or false", object: "an object" }[typeof value];
}

// The settings: the plugin's defaults, with what the tenant's say instead.
function read(plugin, json) {
  const given = JSON.parse(json);
  if (kind(given) !== "an object") throw new Refusal("settings_invalid", "expected a JSON object");
  const defaults = plugin.settings ?? {};
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(defaults, name)) {
      const known = Object.keys(defaults).map((known) => `\`${known}\``).join(", ") || "none";
      throw new Refusal("settings_invalid", `unknown field \`${name}\`, expected one of ${known}`, name);
    }
    const wanted = defaults[name];
    const texts = Array.isArray(wanted) && wanted.every((element) => typeof element === "string");
    const fits = wanted === null ? value === null || typeof value === "string" : kind(value) === kind(wanted);
    if (!fits || (texts && !value.every((element) => typeof element === "string"))) {
      const expected = wanted === null ? "a text" : texts ? "a list of texts" : kind(wanted);
      throw new Refusal("settings_invalid", `expected ${expected}`, name);
    }
  }
  return { ...structuredCloneOf(defaults), ...given };
}

// Settings are JSON: a plugin that changes what it got changes its own copy.
function structuredCloneOf(json) {
  return JSON.parse(JSON.stringify(json));
}

export function validateSettings(plugin, json) {
  let settings;
  try {
    settings = read(plugin, json);
  } catch (error) {
    if (error instanceof SyntaxError) throw new Refusal("settings_invalid", error.message);
    throw error;
  }
  plugin.check?.(settings);
}

function call(question, host) {
  return new Call(question.asOf, question.connection, question.groups, host);
}

export function transform(plugin, question, host) {
  const settings = read(plugin, question.settings);
  const answer = plugin.transform(call(question, host), settings, User.fromJson(question.user));
  if (answer instanceof OutOfScope) return { tag: "out-of-scope", val: answer.reason };
  if (answer instanceof Account) return { tag: "account", val: { json: JSON.stringify(answer), provenance: answer.provenance } };
  throw new TypeError("`transform` returns an `Account` or an `OutOfScope`, or throws a `Refusal`");
}

export function propose(plugin, question, account, host) {
  const settings = read(plugin, question.settings);
  const roles = plugin.propose(call(question, host), settings, User.fromJson(question.user), Account.fromJson(account));
  return roles.map(({ role, because }) => ({ role, because }));
}
