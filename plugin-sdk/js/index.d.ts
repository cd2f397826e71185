// Write Rolecall plugins in JavaScript or TypeScript: what each thing of the kit means.

/** A text with its source: a SCIM path, or the name of a rule. */
export class Value {
  constructor(text: string, source: string);
  readonly text: string;
  readonly source: string;
  /** Another text made of this one, from the same source. */
  map(change: (text: string) => string): Value;
  /** The same text, credited to a rule. */
  because(rule: string): Value;
}

/** The words of a text: what stands between blanks of any script. */
export function words(text: string): string[];

/** The text with ASCII letters in lower case; letters of other scripts stay as they are. */
export function asciiLowerCase(text: string): string;

/** The enterprise extension's URN. */
export const ENTERPRISE: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/** One of a person's e-mail addresses. */
export class Email {
  get address(): string | undefined;
  /** `work`, `home`, … */
  get type(): string | undefined;
  /** Whether it is the one to write to. */
  get primary(): boolean;
}

/** The attributes of a custom extension. */
export class Extension {
  /** An attribute as it is. */
  get(attribute: string): unknown;
  /** A text attribute that is not blank. */
  text(attribute: string): Value | undefined;
  /** The texts of a multi-valued attribute that are not blank. */
  texts(attribute: string): Value[];
}

/**
 * A person as the identity provider describes them. Texts are trimmed, and blank ones are absent, because clients send `""` for what
 * they don't know. What the plugin did not declare that it reads is absent, too.
 */
export class User {
  constructor(user: object);
  /** Reads the JSON text of a user in Rolecall's normal form. */
  static fromJson(json: string): User;
  get userName(): Value | undefined;
  get externalId(): Value | undefined;
  get displayName(): Value | undefined;
  get nickName(): Value | undefined;
  get userType(): Value | undefined;
  get title(): Value | undefined;
  get locale(): Value | undefined;
  get preferredLanguage(): Value | undefined;
  get timezone(): Value | undefined;
  /** `name.formatted` */
  get formattedName(): Value | undefined;
  get givenName(): Value | undefined;
  get middleName(): Value | undefined;
  get familyName(): Value | undefined;
  /** The enterprise extension's `employeeNumber`, and so on. */
  get employeeNumber(): Value | undefined;
  get costCenter(): Value | undefined;
  get organization(): Value | undefined;
  get division(): Value | undefined;
  get department(): Value | undefined;
  /** The manager as the identity provider names them: `manager.value`. */
  get manager(): Value | undefined;
  /** `manager.displayName` */
  get managerName(): Value | undefined;
  get active(): boolean | undefined;
  get emails(): readonly Email[];
  /** The first address of that type. */
  email(type: string): Value | undefined;
  /** The primary address; else the one for work, else the first. */
  get bestEmail(): Value | undefined;
  /** A custom extension by its URN, if the person has it. */
  extension(urn: string): Extension | undefined;
}

/** The attributes of an account that hold one text. `user_name`, the login, is required. */
export type Attribute =
  | "user_name"
  | "display_name"
  | "given_name"
  | "family_name"
  | "email"
  | "user_type"
  | "title"
  | "department"
  | "division"
  | "organization"
  | "cost_center"
  | "employee_number"
  | "manager"
  | "locale";

export const ATTRIBUTES: readonly Attribute[];

/** The longest text in an account, in bytes: longer ones are cut, but for the login. */
export const TEXT_BYTES_LIMIT: 1024;

/** A local account, with where each value came from. */
export class Account {
  constructor(userName: Value);
  /** Reads an account that Rolecall handed over: it has no provenance. */
  static fromJson(json: string): Account;
  /** Sets an attribute, if there is a value. Control characters become spaces, and what is too long is cut. */
  set(attribute: Attribute, value: Value | null | undefined): this;
  /** Adds a text to the tag of that name, which policies can read. */
  tag(name: string, value: Value | null | undefined): this;
  get(attribute: Attribute): string | undefined;
  /** The texts of a tag. */
  tagged(name: string): string[];
  /** For each attribute and tag (`tags.name`), where its value came from. */
  get provenance(): { attribute: string; source: string }[];
  toJSON(): object;
}

/** This person is none of the tenant's, and why: accepted over SCIM, no account. */
export class OutOfScope {
  constructor(reason: string);
  readonly reason: string;
}

/** Thrown: the author says no, to a person or to settings. Whatever else is thrown is a fault, and no verdict. */
export class Refusal extends Error {
  /**
   * @param code a stable word: lower-case letters, digits and underscores
   * @param message what is wrong and what to do, for people
   * @param path what is concerned: a SCIM path, or a path in the settings
   */
  constructor(code: string, message: string, path?: string);
  readonly code: string;
  readonly path: string | undefined;
}

/** How much a log line matters. */
export type Level = "debug" | "info" | "warn" | "error";

/** What a plugin may ask of Rolecall. In unit tests, an object of yours. */
export interface Host {
  log(level: Level, message: string): void;
  lookup(table: string, key: string): [string, string][] | undefined;
}

/** What every call carries beside the person. */
export class Call {
  constructor(asOf: string, connection: string, groups: readonly string[], host: Host);
  /** The instant of the evaluation, RFC 3339 in UTC with whole seconds: texts of this form compare as instants do. */
  readonly asOf: string;
  /** The connection's id. */
  readonly connection: string;
  /** The handles of the person's groups, direct and inherited, sorted. */
  readonly groups: readonly string[];
  /** Writes a line to the tenant's plugin log. Too much is dropped. */
  log(level: Level, message: string): void;
  /** The row with that key in one of the tenant's lookup tables: column → value. */
  lookup(table: string, key: string): Map<string, string> | undefined;
}

/** A nominated role, and the rule that nominated it. */
export interface Proposal {
  role: string;
  because?: string;
}

/** A plugin: what it says of itself, and one hook or both. */
export interface Plugin<S extends object = {}> {
  /** Its name and version, for people: 1 to 100 bytes. */
  name: string;
  version: string;
  /** The SCIM paths that it reads; the user holds these and nothing else. `{x}` stands for the text of the setting `x`. */
  reads: readonly string[];
  /**
   * The settings with their defaults. A setting that is not here is refused, and so is one of another type; `null` stands for a text
   * that may be left out.
   */
  settings?: S;
  /** Throws a `Refusal` when settings won't do. Asked when a revision is checked, not at every call. */
  check?(settings: S): void;
  /** What becomes of a person. */
  transform?(call: Call, settings: S, user: User): Account | OutOfScope;
  /** The roles that are nominated for a person with this account; policies decide. */
  propose?(call: Call, settings: S, user: User, account: Account): Proposal[];
}

/** Gives the plugin back: it is there for its types. */
export function definePlugin<S extends object = {}>(plugin: Plugin<S>): Plugin<S>;
