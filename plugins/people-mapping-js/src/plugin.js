// What Entra ID customers ask of a mapping: department and cost centre from a custom extension, contractors by e-mail suffix, names and
// logins made regular, people without an employee number refused, test accounts left out. The same as ../people-mapping, in JavaScript.

import { Account, ENTERPRISE, OutOfScope, Refusal, Value, definePlugin } from "rolecall-plugin";

import { displayName, endsWith, login, startsWith, tidy } from "./names.js";

/** How one tenant's directory differs from the next. */
const settings = {
  /** The URN of the custom extension that holds department and cost centre. */
  extension: /** @type {string | null} */ (null),
  department_attribute: "department",
  cost_center_attribute: "costCenter",
  /** Whose work e-mail address ends with one of these is a contractor. */
  contractor_email_suffixes: /** @type {string[]} */ ([]),
  /** Whether employees need an employee number; contractors never do. */
  require_employee_number: false,
  /** The domain of employees' logins; without it they keep the one of their user name. */
  login_domain: /** @type {string | null} */ (null),
  /** Accounts whose user name starts with one of these are out of scope. */
  test_account_prefixes: /** @type {string[]} */ ([]),
};

/**
 * The suffix that makes this person a contractor.
 * @param {string[]} suffixes
 * @param {import("rolecall-plugin").User} user
 */
function contractorSuffix(suffixes, user) {
  const email = user.email("work") ?? user.bestEmail;
  return email && suffixes.find((suffix) => endsWith(email.text, suffix));
}

export default definePlugin({
  name: "people-mapping-js",
  version: "0.1.0",
  reads: ["userName", "displayName", "name", "emails", "userType", "title", "locale", ENTERPRISE, "{extension}"],
  settings,

  check({ extension, contractor_email_suffixes, login_domain, test_account_prefixes }) {
    /** @type {(path: string, message: string) => never} */
    const refuse = (path, message) => {
      throw new Refusal("settings_invalid", message, path);
    };
    if (extension !== null && !extension.startsWith("urn:")) {
      refuse("extension", "expected the URN of an extension, such as `urn:ietf:params:scim:schemas:extension:acme:2.0:User`");
    }
    if (contractor_email_suffixes.some((suffix) => !suffix.includes("@"))) {
      refuse(
        "contractor_email_suffixes",
        "a suffix has an `@` in it, such as `@contractors.acme.example`: others match too many people",
      );
    }
    if (login_domain !== null && !/^[\x00-\x3f\x41-\x7f]+$/.test(login_domain)) {
      refuse("login_domain", "expected an ASCII domain without `@`, such as `acme.example`");
    }
    if (test_account_prefixes.some((prefix) => prefix.trim() === "")) {
      refuse("test_account_prefixes", "an empty prefix would leave everybody out");
    }
  },

  transform(_call, settings, user) {
    const userName = user.userName;
    if (!userName) throw new Refusal("user_name_missing", "the person has no user name", "userName");
    const prefix = settings.test_account_prefixes.find((prefix) => startsWith(userName.text, prefix));
    if (prefix !== undefined) return new OutOfScope(`test account: the user name starts with \`${prefix}\``);
    const suffix = contractorSuffix(settings.contractor_email_suffixes, user);
    if (settings.require_employee_number && suffix === undefined && !user.employeeNumber) {
      throw new Refusal(
        "employee_number_missing",
        "an employee needs an employee number: fill it in at the identity provider, or give the person a contractor's e-mail address",
        `${ENTERPRISE}:employeeNumber`,
      );
    }
    const name = login(userName.text, suffix === undefined ? settings.login_domain : null);
    if (name === undefined) {
      throw new Refusal(
        "login_unsupported",
        "no ASCII login can be made of the user name: use letters of the Latin, Greek or Cyrillic script before the `@`",
        "userName",
      );
    }

    const workerType =
      suffix === undefined
        ? new Value("employee", "no contractor's e-mail address")
        : new Value("contractor", `contractor_email_suffixes: ${suffix}`);
    const extension = settings.extension === null ? undefined : user.extension(settings.extension);
    return new Account(userName.map(() => name))
      .set("display_name", displayName(user))
      .set("given_name", user.givenName?.map(tidy))
      .set("family_name", user.familyName?.map(tidy))
      .set("email", user.bestEmail?.map((email) => email.toLowerCase()))
      .tag("worker_type", workerType)
      .set("user_type", workerType)
      .set("title", user.title?.map(tidy))
      .set("department", extension?.text(settings.department_attribute) ?? user.department)
      .set("cost_center", extension?.text(settings.cost_center_attribute) ?? user.costCenter)
      .set("division", user.division)
      .set("organization", user.organization)
      .set("employee_number", user.employeeNumber)
      .set("manager", user.manager)
      .set("locale", user.locale)
      .tag("idp_user_type", user.userType);
  },
});
