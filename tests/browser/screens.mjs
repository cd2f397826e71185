// Takes docs/workspace/*.jpeg anew: node screens.mjs FOLDER. The people are invented, and the data is that of the stories.
import { mkdirSync } from "node:fs";
import { Person, Server, launch } from "./rolecall.mjs";

const [folder] = process.argv.slice(2);
const USER = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

mkdirSync(folder, { recursive: true });
const [server, browser] = await Promise.all([Server.start(`${import.meta.dirname}/tenants/stories`), launch()]);
try {
  const made = await server.api("POST", "connections", { name: "Entra ID", staging: false, guarded: false });
  const entra = { base_url: `${server.root}/scim/${made.id}/v2`, token: made.token };
  const people = [];
  for (const name of ["ada", "bo", "chidi", "dana", "emil", "farida", "goran", "hana", "ines", "jun", "kofi", "lena", "mia", "noor"]) {
    const userName = `${name}@stories.example`;
    const emails = [{ value: userName, type: "work", primary: true }];
    people.push((await server.scim("POST", "/Users", { schemas: [USER], userName, displayName: name, emails, active: true }, entra)).id);
  }
  const group = async (displayName, members) =>
    (await server.scim("POST", "/Groups", { schemas: [GROUP], displayName, members: members.map((value) => ({ value })) }, entra)).id;
  await group("Engineering", people.slice(0, 6));
  await group("Operations", people.slice(0, 2));
  const crowd = await group("Crowd", people);
  await server.until("accounts/noor@stories.example", (account) => account.grants.length === 1);
  await server.until("handles", (answer) => answer.handles.some((handle) => handle.handle === "operations"));
  await server.api("POST", "handles/operations/confirm", {});
  await server.until("approvals", (answer) => answer.rulings.length === 2);
  await server.api("PUT", `connections/${made.id}/guard`, { guarded: true });
  const members = people.map((value) => ({ value }));
  await server.scim("PATCH", `/Groups/${crowd}`, { schemas: [PATCH], Operations: [{ op: "remove", path: "members", value: members }] }, entra);
  const { holds } = await server.until("holds?state=open", (answer) => answer.holds.some((hold) => hold.people > 2));
  await server.request("GET", `${entra.base_url}/Users`, "rc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "application/scim+json").catch(() => {});
  const account = (await server.api("GET", "accounts/ada@stories.example")).id;
  const review = await server.api("POST", "reviews", {
    name: "Spring", scope: { roles: ["developer"] }, reviewers: "named", named: ["grace@stories.example"], fallback: "iam@stories.example",
    closes: new Date(Date.now() + 20 * 86_400_000).toISOString(), on_silence: "keep", exception_owner: "iam@stories.example",
  });
  await server.until(`reviews/${review.id}`, (one) => one.state === "open");

  const person = await Person.at(browser, server);
  await person.signIn({ admin_roles: ["tenant-owner"], person: "grace@stories.example" });
  const export_ = "user_name,title,groups\nada@stories.example,Lead,Engineering;Operations\nbo@stories.example,,Engineering;Operations\nzoe@stories.example,Clerk,Engineering\n";
  const drift = await server.api("POST", `connections/${made.id}/reconciliations`, { format: "csv", content: export_ });
  await server.until(`reconciliations/${drift.id}`, (one) => one.state === "ready");
  const pages = {
    today: "", people: "/people", person: `/people/${account}`, run: `/people/${account}/run`, roles: "/roles", groups: "/groups", role: "/roles/developer",
    connections: "/connections", "connection-new": "/connections/new?for=entra", connection: `/connections/${made.id}`,
    log: `/connections/${made.id}/log`, refused: `/connections/${made.id}/refused`, drift: `/connections/${made.id}/drift`, reconciliation: `/drift/${drift.id}`, mapping: "/mapping", stored: "/mapping/revisions", editor: "/mapping/edit?path=policies/roles.cedar",
    holds: "/decisions", hold: `/decisions/holds/${holds.find((hold) => hold.people > 2).id}`, approvals: "/decisions/approvals",
    review: `/decisions/reviews/${review.id}`, history: "/history", verify: "/history/verify", settings: "/settings",
  };
  for (const [name, path] of Object.entries(pages)) {
    for (const [width, colorScheme] of [[1280, "light"], [390, "dark"]]) {
      await person.page.setViewportSize({ width, height: 900 });
      await person.page.emulateMedia({ colorScheme });
      await person.open(path);
      await person.page.waitForLoadState("networkidle");
      await person.page.screenshot({ path: `${folder}/${name}-${width}.jpeg`, type: "jpeg", quality: 70, fullPage: true });
    }
    console.log(name);
  }
  await person.done();
} finally {
  await browser.close();
  await server.stop();
}
