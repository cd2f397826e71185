// What becomes of a person: an account, out of scope, or a refusal.

import { Account, OutOfScope, Refusal, definePlugin } from "rolecall-plugin";

// What tenant.toml says under `settings`, and what holds where it says nothing. A setting that is not here is refused.
const settings = {
  /** People whose user name ends with one of these are out of scope. */
  ignored_suffixes: /** @type {string[]} */ ([]),
};

export default definePlugin({
  name: "{name}",
  version: "0.1.0",
  // What is not named here is cut out of the user before the plugin sees it.
  reads: ["userName", "displayName", "name", "emails", "title", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"],
  settings,

  transform(_call, settings, user) {
    const login = user.userName;
    if (!login) throw new Refusal("user_name_missing", "a person needs a user name", "userName");
    if (settings.ignored_suffixes.some((suffix) => login.text.endsWith(suffix))) {
      return new OutOfScope("the user name has a suffix that is ignored");
    }
    return new Account(login.map((text) => text.toLowerCase()))
      .set("display_name", user.displayName)
      .set("email", user.bestEmail)
      .set("title", user.title)
      .set("department", user.department);
  },
});
