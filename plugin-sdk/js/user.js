// A person as the identity provider describes them, in Rolecall's normal form. What the plugin did not declare is absent.

import { Value, asciiLowerCase, present, trim } from "./text.js";

export const ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

function member(object, name, path) {
  const value = object[name];
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw new TypeError(`expected an object at ${path}`);
  return value;
}

export class Email {
  #email;

  constructor(email) {
    this.#email = email;
  }

  get address() {
    return present(this.#email.value, "emails.value");
  }

  get type() {
    return present(this.#email.type, "emails.type");
  }

  get primary() {
    return this.#email.primary === true;
  }
}

export class Extension {
  #urn;
  #attributes;

  constructor(urn, attributes) {
    this.#urn = urn;
    this.#attributes = attributes;
  }

  get(attribute) {
    return Object.hasOwn(this.#attributes, attribute) ? this.#attributes[attribute] : undefined;
  }

  text(attribute) {
    const value = this.get(attribute);
    const text = typeof value === "string" ? trim(value) : "";
    return text === "" ? undefined : new Value(text, `${this.#urn}:${attribute}`);
  }

  texts(attribute) {
    const elements = this.get(attribute);
    const texts = Array.isArray(elements) ? elements.filter((element) => typeof element === "string").map(trim) : [];
    return texts.filter((text) => text !== "").map((text) => new Value(text, `${this.#urn}:${attribute}`));
  }
}

export class User {
  #user;
  #emails;

  constructor(user) {
    if (typeof user !== "object" || user === null || Array.isArray(user)) throw new TypeError("a user is a JSON object");
    this.#user = user;
    this.#emails = (user.emails ?? []).map((email) => new Email(email));
  }

  static fromJson(json) {
    return new User(JSON.parse(json));
  }

  #text(object, name, path) {
    const text = present(object[name], path);
    return text === undefined ? undefined : new Value(text, path);
  }

  #core(name) {
    return this.#text(this.#user, name, name);
  }

  #name(name) {
    return this.#text(member(this.#user, "name", "name"), name, `name.${name}`);
  }

  #enterprise(name) {
    return this.#text(member(this.#user, ENTERPRISE, ENTERPRISE), name, `${ENTERPRISE}:${name}`);
  }

  #manager(name) {
    const manager = member(member(this.#user, ENTERPRISE, ENTERPRISE), "manager", `${ENTERPRISE}:manager`);
    return this.#text(manager, name, `${ENTERPRISE}:manager.${name}`);
  }

  get userName() {
    return this.#core("userName");
  }

  get externalId() {
    return this.#core("externalId");
  }

  get displayName() {
    return this.#core("displayName");
  }

  get nickName() {
    return this.#core("nickName");
  }

  get userType() {
    return this.#core("userType");
  }

  get title() {
    return this.#core("title");
  }

  get locale() {
    return this.#core("locale");
  }

  get preferredLanguage() {
    return this.#core("preferredLanguage");
  }

  get timezone() {
    return this.#core("timezone");
  }

  get formattedName() {
    return this.#name("formatted");
  }

  get givenName() {
    return this.#name("givenName");
  }

  get middleName() {
    return this.#name("middleName");
  }

  get familyName() {
    return this.#name("familyName");
  }

  get employeeNumber() {
    return this.#enterprise("employeeNumber");
  }

  get costCenter() {
    return this.#enterprise("costCenter");
  }

  get organization() {
    return this.#enterprise("organization");
  }

  get division() {
    return this.#enterprise("division");
  }

  get department() {
    return this.#enterprise("department");
  }

  get manager() {
    return this.#manager("value");
  }

  get managerName() {
    return this.#manager("displayName");
  }

  get active() {
    return this.#user.active ?? undefined;
  }

  get emails() {
    return this.#emails;
  }

  email(type) {
    const wanted = asciiLowerCase(type);
    const ofType = this.#emails.filter((email) => email.type !== undefined && asciiLowerCase(email.type) === wanted);
    return firstAddress(ofType, `emails[type eq "${type}"].value`);
  }

  get bestEmail() {
    const primary = this.#emails.filter((email) => email.primary);
    return firstAddress(primary, "emails[primary eq true].value") ?? this.email("work") ?? firstAddress(this.#emails, "emails.value");
  }

  extension(urn) {
    const wanted = asciiLowerCase(urn);
    const name = Object.keys(this.#user).find((name) => name.startsWith("urn:") && asciiLowerCase(name) === wanted);
    const attributes = name === undefined ? undefined : this.#user[name];
    const isObject = typeof attributes === "object" && attributes !== null && !Array.isArray(attributes);
    return isObject ? new Extension(urn, attributes) : undefined;
  }
}

function firstAddress(emails, source) {
  const address = emails.map((email) => email.address).find((address) => address !== undefined);
  return address === undefined ? undefined : new Value(address, source);
}
