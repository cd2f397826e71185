// The account that a mapping shapes, with where each value came from.

import { trim } from "./text.js";

export const ATTRIBUTES = Object.freeze([
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
]);

export const TEXT_BYTES_LIMIT = 1024;

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;
// As the other kits look for them: by what their first byte in UTF-8 may be.
const PERHAPS_CONTROL = /[\u0000-\u001f\u007f-\u00bf]/;

function utf8Bytes(letter) {
  const point = letter.codePointAt(0);
  return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

// The longest beginning that fits, in whole letters.
function cut(text) {
  // No letter of UTF-16 has more than three bytes a unit.
  if (text.length * 3 <= TEXT_BYTES_LIMIT) return text;
  let bytes = 0;
  let end = 0;
  for (const letter of text) {
    bytes += utf8Bytes(letter);
    if (bytes > TEXT_BYTES_LIMIT) break;
    end += letter.length;
  }
  return text.slice(0, end);
}

// A text as an account may have it; undefined when nothing is left of it.
function fitted(value) {
  if (value === undefined || value === null) return undefined;
  const clean = PERHAPS_CONTROL.test(value.text) ? trim(value.text.replace(CONTROL, " ")) : value.text;
  const text = cut(clean);
  return text === "" ? undefined : text;
}

export class Account {
  #texts = new Map();
  #tags = new Map();
  #provenance = new Map();

  constructor(userName) {
    this.#texts.set("user_name", userName.text);
    this.#provenance.set("user_name", userName.source);
  }

  static fromJson(json) {
    const read = JSON.parse(json);
    if (typeof read?.user_name !== "string") throw new TypeError("an account has a `user_name`");
    const account = new Account({ text: read.user_name, source: "" });
    // A newer Rolecall may know more attributes than this plugin was built with.
    for (const name of ATTRIBUTES) if (typeof read[name] === "string") account.#texts.set(name, read[name]);
    for (const [name, texts] of Object.entries(read.tags ?? {})) account.#tags.set(name, [...texts]);
    account.#provenance.clear();
    return account;
  }

  set(attribute, value) {
    if (!ATTRIBUTES.includes(attribute)) throw new TypeError(`an account has no attribute \`${attribute}\``);
    const text = fitted(value);
    if (text !== undefined) {
      this.#texts.set(attribute, text);
      this.#provenance.set(attribute, value.source);
    }
    return this;
  }

  tag(name, value) {
    const text = fitted(value);
    if (text !== undefined) {
      const texts = this.#tags.get(name) ?? [];
      if (!texts.includes(text)) texts.push(text);
      this.#tags.set(name, texts);
      this.#provenance.set(`tags.${name}`, value.source);
    }
    return this;
  }

  get(attribute) {
    return this.#texts.get(attribute);
  }

  tagged(name) {
    return [...(this.#tags.get(name) ?? [])];
  }

  get provenance() {
    return [...this.#provenance].map(([attribute, source]) => ({ attribute, source }));
  }

  toJSON() {
    const json = {};
    for (const name of ATTRIBUTES) if (this.#texts.has(name)) json[name] = this.#texts.get(name);
    if (this.#tags.size > 0) json.tags = Object.fromEntries(this.#tags);
    return json;
  }
}
