// Write Rolecall plugins in JavaScript or TypeScript. index.d.ts says what each thing means.
//
// Nothing here needs the sandbox: the same code runs in Node through `rolecall-plugin/run`, which is how plugins are unit-tested.

export { ATTRIBUTES, Account, TEXT_BYTES_LIMIT } from "./account.js";
export { Value, asciiLowerCase, words } from "./text.js";
export { ENTERPRISE, Email, Extension, User } from "./user.js";

export class OutOfScope {
  constructor(reason) {
    this.reason = reason;
  }
}

export class Refusal extends Error {
  constructor(code, message, path) {
    super(message);
    this.name = "Refusal";
    this.code = code;
    this.path = path;
  }
}

export class Call {
  #host;

  constructor(asOf, connection, groups, host) {
    this.asOf = asOf;
    this.connection = connection;
    this.groups = groups;
    this.#host = host;
  }

  log(level, message) {
    this.#host.log(level, message);
  }

  lookup(table, key) {
    const row = this.#host.lookup(table, key);
    return row === undefined ? undefined : new Map(row);
  }
}

export function definePlugin(plugin) {
  return plugin;
}
