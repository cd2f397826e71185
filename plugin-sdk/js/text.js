// Texts that know where they came from. Knows nothing of SCIM's attributes.

// Written out, so that every kit trims the same letters: Unicode's White_Space.
const WHITE_SPACE = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const AROUND = new RegExp(`^[${WHITE_SPACE}]+|[${WHITE_SPACE}]+$`, "g");
const BETWEEN = new RegExp(`[${WHITE_SPACE}]+`);

export class Value {
  constructor(text, source) {
    this.text = text;
    this.source = source;
  }

  map(change) {
    return new Value(change(this.text), this.source);
  }

  because(rule) {
    return new Value(this.text, rule);
  }
}

export function trim(text) {
  return text.replace(AROUND, "");
}

export function words(text) {
  return text.split(BETWEEN).filter((word) => word !== "");
}

// The letters of other scripts stay as they are: their case is a matter of language.
export function asciiLowerCase(text) {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

// A text that the identity provider sent. Clients send `""` and blanks for what they don't know: that is no value.
export function present(value, path) {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw new TypeError(`expected a text at ${path}`);
  const text = trim(value);
  return text === "" ? undefined : text;
}
