// What an identity team does in a day, in a browser. Each page that a story comes to is looked at by axe.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Person, Server, launch } from "./rolecall.mjs";

const folder = `${import.meta.dirname}/tenants/stories`;
const USER = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
let browser, server;

const user = async (name, connection) =>
  (await server.scim("POST", "/Users", { schemas: [USER], userName: name, displayName: name.split("@")[0], active: true }, connection)).id;
const group = async (name, members, connection) =>
  (await server.scim("POST", "/Groups", { schemas: [GROUP], displayName: name, members: members.map((value) => ({ value })) }, connection)).id;
const patch = (path, Operations, connection) => server.scim("PATCH", path, { schemas: [PATCH], Operations }, connection);
const roles = (name) => (account) => account.grants.map((grant) => grant.role).sort().join() === name;

/** A connection of the story's own, let in, and counted by the guard where that is told. */
async function connection(name, guarded = false) {
  const made = await server.api("POST", "connections", { name, staging: false, guarded });
  return { id: made.id, base_url: `${server.root}/scim/${made.id}/v2`, token: made.token };
}

/** Somebody who may change everything in the tenant, by name. */
async function owner(name = "grace@stories.example") {
  const person = await Person.at(browser, server);
  await person.signIn({ admin_roles: ["tenant-owner"], person: name });
  return person;
}

before(async () => {
  [server, browser] = await Promise.all([Server.start(folder), launch()]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("somebody joins, moves and leaves", async () => {
  const entra = await connection("Joiners");
  const grace = await owner();
  const mia = await user("mia@stories.example", entra);
  const engineering = await group("Engineering", [mia], entra);
  await server.until("accounts/mia@stories.example", roles("developer"));

  await grace.open("/people");
  await grace.page.locator("main input[type=search], main input[name=q]").first().fill("mia@");
  await grace.page.locator("main").getByRole("button", { name: "Search" }).click();
  await grace.page.locator("main").getByRole("link", { name: "mia@stories.example" }).first().click();
  await grace.page.getByText("engineers work on the code").first().waitFor();
  await grace.accessible();

  await patch(`/Groups/${engineering}`, [{ op: "remove", path: `members[value eq "${mia}"]` }], entra);
  await group("Staff", [mia], entra);
  await server.until("accounts/mia@stories.example", roles("reader"));
  await grace.page.reload();
  await grace.page.getByText("whoever belongs to the staff may read").first().waitFor();
  await grace.page.locator("main select[name=role]").first().selectOption("developer");
  await grace.page.getByRole("button", { name: "Explain" }).click();
  await grace.page.getByText("Not met:").first().waitFor();
  await grace.accessible();
  await grace.page.goBack();

  await grace.page.getByRole("link", { name: "Step by step" }).click();
  await grace.page.getByText("Nothing: it is as it would be decided.").waitFor();
  await grace.accessible();
  await grace.page.goBack();

  await patch(`/Users/${mia}`, [{ op: "Replace", path: "active", value: "False" }], entra);
  await server.until("accounts/mia@stories.example", roles(""));
  await grace.page.reload();
  await grace.page.locator("main .badge", { hasText: "suspended" }).first().waitFor();
  await grace.done();
});

test("a connection is made, and its first request is seen", async () => {
  const grace = await owner();
  await grace.open("/connections/new?for=okta");
  await grace.accessible();
  await grace.page.getByLabel("Name").fill("Okta, first time");
  await grace.page.getByRole("button", { name: "Make it and show the values" }).click();
  const url = await grace.page.locator("#value-url").innerText();
  const token = await grace.page.locator("#value-token").innerText();
  await user("first@stories.example", { base_url: url.split("?")[0], token });
  await grace.page.getByText("It came").first().waitFor();
  await grace.done();
});

test("a connection goes bad and recovers", async () => {
  const short = await connection("Short-lived");
  await user("sam@stories.example", short);
  const grace = await owner();
  await grace.open(`/connections/${short.id}`);
  await grace.page.locator("main .badge", { hasText: "healthy" }).first().waitFor();
  // Its only token ends within the hour.
  await server.api("POST", `connections/${short.id}/rotate`, { lifetime_seconds: 3_000, overlap_seconds: 0 });
  await grace.page.reload();
  await grace.page.locator("main .badge", { hasText: "degraded" }).first().waitFor();
  await grace.accessible();
  await grace.open("");
  await grace.page.getByRole("link", { name: "Short-lived" }).first().waitFor();
  await grace.accessible();
  await server.api("POST", `connections/${short.id}/rotate`, { overlap_seconds: 0 });
  await grace.open(`/connections/${short.id}`);
  await grace.page.locator("main .badge", { hasText: "healthy" }).first().waitFor();
  await grace.done();
});

test("a hold of the guard is released in part", async () => {
  const guarded = await connection("Guarded");
  const people = [];
  for (let number = 10; number < 22; number += 1) people.push(await user(`held-${number}@stories.example`, guarded));
  const crowd = await group("Crowd", people, guarded);
  await server.until("accounts/held-21@stories.example", roles("reader"));
  await server.api("PUT", `connections/${guarded.id}/guard`, { guarded: true });
  await patch(`/Groups/${crowd}`, [{ op: "remove", path: "members", value: people.map((value) => ({ value })) }], guarded);
  const { holds } = await server.until("holds?state=open", (answer) => answer.holds.some((hold) => hold.people > 2));
  const held = holds.find((hold) => hold.people > 2);

  const grace = await owner();
  await grace.open("");
  await grace.page.getByRole("heading", { name: /Holds/ }).waitFor();
  await grace.open(`/decisions/holds/${held.id}`);
  await grace.accessible();
  const boxes = grace.page.locator("main input[type=checkbox][name=account]");
  const before = await boxes.count();
  await boxes.nth(0).check();
  await boxes.nth(1).check();
  await grace.page.getByLabel("Why").first().fill("these two really go");
  await grace.page.locator('[data-press="a"]').click();
  await grace.page.locator(".said", { hasText: /2 (people|persons)/ }).waitFor();
  const after = await server.until(`holds/${held.id}`, (hold) => hold.people === before - 2);
  assert.equal(after.state, "open");
  await grace.done();
});

test("a policy is edited, simulated and activated", async () => {
  const grace = await owner();
  await grace.open("/mapping");
  await grace.accessible();
  await grace.open("/mapping/edit?path=policies/roles.cedar");
  await grace.page.locator(".cm-content").waitFor();
  await grace.accessible();
  await grace.page.locator(".cm-content").click();
  await grace.page.keyboard.press("Control+End");
  await grace.page.keyboard.type("permit (principle, action, resource);");
  await grace.page.locator("[data-line]").first().waitFor();
  await grace.done();

  // With the keyboard alone and without scripts, which is how the form is sent either way.
  const plain = await Person.at(browser, server, { javaScriptEnabled: false });
  await plain.signIn({ admin_roles: ["tenant-owner"], person: "grace@stories.example" });
  await plain.open("/mapping/edit?path=policies/roles.cedar");
  const text = await plain.page.locator("textarea[name=text]").inputValue();
  assert.match(text, /the whole crowd may read/);
  await plain.page.locator("textarea[name=text]").fill(text.replace("the whole crowd may read", "the crowd may read, and nothing else"));
  await plain.page.getByRole("button", { name: "Save as a new revision" }).click();
  await plain.page.getByRole("button", { name: "Simulate" }).click();
  await plain.page.waitForURL(/\/mapping\/trials\//);
  const trial = plain.page.url().split("/").pop();
  await server.until(`trials/${trial}`, (one) => one.state === "finished");
  await plain.page.reload();
  const revision = (await server.api("GET", `trials/${trial}`)).revision;
  await plain.open(`/mapping/revisions/${revision}`);
  await plain.page.locator("main").getByRole("button", { name: /^Activate/ }).click();
  await plain.page.locator(".said", { hasText: "It is active" }).waitFor();
  assert.equal((await server.api("GET", "revisions/active")).hash, revision);
  await plain.context.close();
});

test("a review is decided with the keyboard", async () => {
  const reviewed = await connection("Reviewed");
  const people = [await user("rob@stories.example", reviewed), await user("rue@stories.example", reviewed)];
  await group("Reviewed", people, reviewed);
  await server.until("accounts/rue@stories.example", roles("reader"));
  const closes = new Date(Date.now() + 20 * 86_400_000).toISOString();
  const review = await server.api("POST", "reviews", {
    name: "Spring", scope: { roles: ["reader"] }, reviewers: "named", named: ["grace@stories.example"], fallback: "iam@stories.example", closes,
    on_silence: "keep", exception_owner: "iam@stories.example",
  });
  await server.until(`reviews/${review.id}`, (one) => one.state === "open");
  const grace = await owner();
  await grace.open(`/decisions/reviews/${review.id}`);
  await grace.accessible();
  await grace.page.keyboard.press("j");
  await grace.page.keyboard.press("x");
  await grace.page.keyboard.press("a");
  await grace.page.locator(".said").waitFor();
  await server.until(`reviews/${review.id}`, (one) => one.counts.keep === 1);
  await grace.done();
});

test("a role is approved by somebody else, with the keyboard", async () => {
  const ops = await connection("Operators");
  const rosa = await user("rosa@stories.example", ops);
  const omar = await user("omar@stories.example", ops);
  await group("Operations", [rosa, omar], ops);
  await server.until("handles", (answer) => answer.handles.some((handle) => handle.handle === "operations"));
  const grace = await owner();
  await grace.open("/groups");
  await grace.page.getByRole("button", { name: /is that group/ }).first().click();
  await server.until("approvals", (answer) => answer.rulings.length === 2);
  await grace.open("/decisions/approvals");
  await grace.accessible();
  await grace.page.keyboard.press("j");
  await grace.page.keyboard.press("x");
  assert.equal(await grace.page.locator("main input[type=checkbox]:checked").count(), 1);
  await grace.page.getByLabel("Why").first().fill("on call this month");
  await grace.page.locator('[data-press="a"]').click();
  await grace.page.locator(".said", { hasText: "1 line approved" }).waitFor();
  await grace.done();
});

test("each admin role sees and can do what it may", async () => {
  const auditor = await Person.at(browser, server);
  await auditor.signIn({ admin_roles: ["auditor"], person: "ann@stories.example" });
  for (const path of ["", "/people", "/roles", "/groups", "/connections", "/mapping", "/decisions", "/decisions/approvals", "/history", "/settings"]) {
    const answer = await auditor.open(path);
    assert.equal(answer.status(), 200, path);
    // Whoever is signed in may end their own session.
    const forms = await auditor.page.locator("main form[method=post]:not([action*='/sessions/']) :is(button, input[type=checkbox])").count();
    assert.equal(forms, 0, `an auditor is offered something to press at ${path}`);
  }
  await auditor.open("/connections/new?for=okta");
  assert.equal(await auditor.page.locator("main form[method=post] button").count(), 0);
  assert.equal((await auditor.open("/decisions/reviews/new")).status(), 403);
  const operator = await Person.at(browser, server);
  await operator.page.goto((await server.api("POST", "/workspace/links", { write: true })).url);
  await operator.page.getByRole("button", { name: "Sign in" }).click();
  await operator.page.getByRole("heading", { name: "Tenants" }).waitFor();
  await operator.accessible();
  await auditor.done();
  await operator.done();
});

test("no link leads nowhere", async () => {
  const grace = await owner();
  const start = new URL(grace.page.url()).pathname;
  const waiting = [start];
  const seen = new Set(waiting);
  while (waiting.length > 0 && seen.size < 400) {
    const path = waiting.shift();
    const answer = await grace.context.request.get(server.root + path, { maxRedirects: 5 });
    assert.ok(answer.status() < 400, `${answer.status()} ${path}`);
    if (!answer.headers()["content-type"]?.startsWith("text/html")) continue;
    for (const [, link] of (await answer.text()).matchAll(/ href="([^"]+)"/g)) {
      const to = new URL(link.replaceAll("&amp;", "&"), server.root + path);
      const key = to.pathname + to.search;
      if (to.origin !== server.root || !to.pathname.startsWith("/workspace/t/") || seen.has(key)) continue;
      seen.add(key);
      waiting.push(key);
    }
  }
  assert.ok(seen.size > 60, `only ${seen.size} pages were found`);
  await grace.done();
});
