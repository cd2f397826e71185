// Who may do what in a browser, and what several people do together: admin roles, a second person, a customer's own IT, a reconciliation. Each
// page that they come to is looked at by axe.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Person, Server, launch } from "./rolecall.mjs";

const folder = `${import.meta.dirname}/tenants/duties`;
const USER = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group";
let browser, server;

const user = async (name, connection) =>
  (await server.scim("POST", "/Users", { schemas: [USER], userName: name, displayName: name.split("@")[0], active: true }, connection)).id;
const group = (name, members, connection) =>
  server.scim("POST", "/Groups", { schemas: [GROUP], displayName: name, members: members.map((value) => ({ value })) }, connection);
const holds = (role) => (account) => account.grants.some((grant) => grant.role === role);

async function connection(name) {
  const made = await server.api("POST", "connections", { name, staging: false, guarded: false });
  return { id: made.id, base_url: `${server.root}/scim/${made.id}/v2`, token: made.token };
}

async function person(role, name) {
  const one = await Person.at(browser, server);
  await one.signIn({ admin_roles: [role], person: name });
  return one;
}

/** The active revision with other words in a reason, stored and without effect. */
async function candidate(words) {
  const { files } = await server.api("GET", "revisions/active");
  const path = "policies/roles.cedar";
  const text = Buffer.from(files[path], "base64").toString().replace(/(?<=@id\("everybody"\)\n@reason\(")[^"]*/, words);
  return (await server.api("POST", "revisions", { files: { ...files, [path]: Buffer.from(text).toString("base64") } })).hash;
}

before(async () => {
  [server, browser] = await Promise.all([Server.start(folder), launch()]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("authors and reviewers do their part and nothing more", async () => {
  const entra = await connection("Entra ID");
  const [rob, rue] = [await user("rob@duties.example", entra), await user("rue@duties.example", entra)];
  await group("Staff", [rob, rue], entra);
  await server.until("accounts/rue@duties.example", holds("reader"));
  const hash = await candidate("the staff may read, as it may today");
  const closes = new Date(Date.now() + 20 * 86_400_000).toISOString();
  const review = await server.api("POST", "reviews", {
    name: "Spring", scope: { roles: ["reader"] }, reviewers: "named", named: ["rae@duties.example"], fallback: "iam@duties.example", closes,
    on_silence: "keep", exception_owner: "iam@duties.example",
  });
  await server.until(`reviews/${review.id}`, (one) => one.state === "open");
  const revision = `/mapping/revisions/${hash}`;
  const [edits, simulates, activates] = [["/mapping", "Edit policies"], [revision, "Simulate"], [revision, "Activate"]];
  const [makes, compares, pauses] = [["/connections", "Make a connection"], [`/connections/${entra.id}/drift`, "Compare"], [`/connections/${entra.id}`, "Pause"]];
  const decides = [`/decisions/reviews/${review.id}`, /^Keep/];
  const all = [edits, simulates, activates, makes, compares, pauses, decides];
  const forged = { pause: `/connections/${entra.id}/pause`, activate: `${revision}/activate`, simulate: `${revision}/try` };
  const roles = {
    "policy-author": { offered: [edits, simulates, activates], forged: [forged.pause] },
    "plugin-author": { offered: [edits, simulates], forged: [forged.pause, forged.activate] },
    reviewer: { offered: [decides], forged: [forged.pause, forged.activate, forged.simulate] },
  };
  for (const [role, { offered, forged }] of Object.entries(roles)) {
    const one = await person(role, "rae@duties.example");
    for (const path of ["", "/people", "/groups", "/roles", "/mapping/revisions", "/decisions", "/decisions/approvals", "/history", "/settings"]) {
      const answer = await one.context.request.get(`${server.root}/workspace/t/${server.tenant}${path}`);
      assert.equal(answer.status(), 200, `${role} at ${path}`);
    }
    await one.open("");
    const token = await one.page.locator("input[name=form_token]").first().inputValue();
    for (const [path, words] of all) {
      assert.equal((await one.open(path)).status(), 200, `${role} at ${path}`);
      const way = one.page.locator("main").locator("a, button").filter({ hasText: words instanceof RegExp ? words : new RegExp(`^${words}`) });
      assert.equal((await way.count()) > 0, offered.some((other) => other[0] === path && other[1] === words), `${role} is offered “${words}” at ${path}`);
    }
    for (const path of forged) {
      const url = `${server.root}/workspace/t/${server.tenant}${path}`;
      const send = (form) => one.context.request.post(url, { form, headers: { origin: server.root }, maxRedirects: 0 });
      const answer = await send({ form_token: token, kind: "simulation" });
      assert.equal(answer.status(), 303, `${role}: ${path}`);
      assert.match(answer.headers()["set-cookie"], /rolecall_said=bad\./, `${role}: ${path} is refused`);
      assert.equal((await send({ form_token: "1.1", kind: "simulation" })).status(), 403, "no page's token");
    }
    await one.open(offered[0][0]);
    await one.accessible();
    await one.done();
  }
  assert.equal((await server.api("GET", "connections")).connections.find((one) => one.id === entra.id).state, "active");
  assert.notEqual((await server.api("GET", "revisions/active?contents=false")).hash, hash);
});

test("one asks for an activation and another lets it through", async () => {
  const hash = await candidate("the staff may read, says one and says another");
  const [pat, olga] = [await person("policy-author", "pat@duties.example"), await person("tenant-owner", "olga@duties.example")];
  const revision = `/mapping/revisions/${hash}`;
  await pat.open("/mapping/revisions");
  await pat.page.getByText("neither activated nor tried out").first().waitFor();
  await pat.accessible();
  await pat.open(revision);
  await pat.page.getByRole("button", { name: "Simulate" }).click();
  await pat.page.waitForURL(/\/mapping\/trials\//);
  await pat.page.locator("#standing .badge", { hasText: "finished" }).waitFor();
  const activate = async (who) => {
    await who.open(revision);
    await who.page.locator("main").getByRole("button", { name: /^Activate/ }).click();
  };
  await activate(pat);
  await pat.page.locator(".said", { hasText: /second person|somebody else|another person/i }).waitFor();
  await activate(pat);
  assert.notEqual((await server.api("GET", "revisions/active?contents=false")).hash, hash, "nobody is their own second person");
  await olga.open(revision);
  await olga.page.getByText("pat@duties.example said").waitFor();
  await olga.accessible();
  await activate(olga);
  await olga.page.locator(".said", { hasText: "It is active" }).waitFor();
  assert.equal((await server.api("GET", "revisions/active?contents=false")).hash, hash);
  await Promise.all([pat.done(), olga.done()]);
});

test("a shadow goes along, and is seen on the page of the mapping", async () => {
  const pat = await person("plugin-author", "pat@duties.example");
  const hash = await candidate("the staff may read, in the shadow");
  await pat.open(`/mapping/revisions/${hash}`);
  await pat.page.getByRole("button", { name: "Begin a shadow" }).click();
  await pat.page.waitForURL(/\/mapping\/trials\//);
  const trial = pat.page.url().split("/").pop();
  await user("sid@duties.example", await connection("Shadowed"));
  await server.until(`trials/${trial}`, (one) => one.summary.people > 0);
  await pat.open("/mapping");
  await pat.page.locator("main tr", { hasText: "running" }).getByRole("link", { name: "shadow" }).click();
  await pat.page.getByRole("heading", { name: "Shadow" }).waitFor();
  await pat.accessible();
  await pat.page.getByRole("button", { name: "Stop it" }).click();
  await pat.page.locator(".said", { hasText: "stopped" }).waitFor();
  await pat.done();
});

test("a customer’s own IT sets a connection up by a link, without an account", async () => {
  const okta = await connection("Customer");
  const olga = await person("tenant-owner", "olga@duties.example");
  await olga.open(`/connections/${okta.id}/set-up?for=okta`);
  await olga.page.getByLabel("Who it is for").fill("sam@customer.example");
  await olga.page.getByRole("button", { name: "Make the link" }).click();
  const link = await olga.page.locator("#link").innerText();

  const sam = await Person.at(browser, server);
  await sam.page.goto(link);
  await sam.page.getByRole("heading", { name: /Connect your identity provider/ }).waitFor();
  await sam.accessible();
  await sam.page.getByRole("button", { name: "Make the token" }).click();
  const token = await sam.page.locator("#value-token").innerText();
  await user("first@customer.example", { ...okta, token });
  await sam.page.getByText("It came").first().waitFor();
  assert.equal((await sam.open("")).url(), `${server.root}/workspace/sign-in?next=${encodeURIComponent(`/workspace/t/${server.tenant}`)}`);
  await sam.page.goto(link);
  await sam.page.getByRole("button", { name: "I am done" }).click();
  await sam.page.getByRole("heading", { name: "Thank you" }).waitFor();
  assert.equal((await sam.page.goto(link)).status(), 404, "the link is good no more");
  await olga.open("/history?kind=link");
  await olga.page.getByText("a link to a connection’s set-up was made").first().waitFor();
  await olga.page.getByText("links to a connection’s set-up were ended").first().waitFor();
  await Promise.all([olga.done(), sam.done()]);
});

test("an export is compared, looked at, carried out, and its losses released", async () => {
  const entra = await connection("Drifted");
  const people = [];
  for (let number = 10; number < 20; number += 1) people.push(await user(`drift-${number}@duties.example`, entra));
  await group("Engineering", people, entra);
  await server.until("accounts/drift-19@duties.example", holds("developer"));
  await server.api("PUT", `connections/${entra.id}/guard`, { guarded: true });
  const olga = await person("tenant-owner", "olga@duties.example");
  const tab = `/connections/${entra.id}/drift`;
  await olga.open(tab);
  await olga.page.getByRole("heading", { name: "Nothing was compared yet" }).waitFor();
  await olga.accessible();
  const upload = async (text) => {
    await olga.page.getByLabel("The export, CSV or JSON").setInputFiles({ name: "export.csv", mimeType: "text/csv", buffer: Buffer.from(text) });
    await olga.page.waitForFunction((wanted) => document.getElementById("content").value === wanted, text);
    await olga.page.getByRole("button", { name: "Compare" }).click();
  };
  await upload("user_name,active\ndrift-10@duties.example,perhaps\n");
  await olga.page.getByText("Line 2, column").waitFor();
  await upload("user_name,title,groups\ndrift-10@duties.example,Lead,Engineering\nnew@duties.example,Clerk,Engineering\n");
  await olga.page.waitForURL(/\/drift\/[0-9a-f]+$/);
  // The page says by itself when all is known.
  await olga.page.getByRole("button", { name: "Carry it out for 11 people" }).waitFor();
  await olga.page.locator("main tr", { hasText: "new@duties.example" }).getByText("what their groups give is decided").waitFor();
  assert.equal(await olga.page.locator("main tr").getByText("loses developer").count(), 9);
  await olga.accessible();
  await olga.page.getByRole("link", { name: "Differing 1" }).click();
  await olga.page.locator("main tbody tr").first().waitFor();
  assert.equal(await olga.page.locator("main tbody tr").count(), 1);
  await olga.page.getByLabel("Why").first().fill("the connector was broken");
  await olga.page.getByLabel("I have seen who differs").check();
  await olga.page.getByRole("button", { name: /^Carry it out/ }).click();
  await olga.page.locator(".said", { hasText: "9 people wait in a hold" }).waitFor();
  await server.until(`reconciliations/${olga.page.url().split("/").pop()}`, (one) => one.distance === 9);
  assert.ok(holds("developer")(await server.api("GET", "accounts/new@duties.example")));
  await olga.page.reload();
  await olga.page.getByText("2 of 11 are as listed now").waitFor();
  const here = olga.page.url();
  await olga.page.getByRole("link", { name: "a hold" }).click();
  await olga.page.getByText("Answer for all 9 people").click();
  const everybody = olga.page.locator("details.card");
  await everybody.getByLabel("Why").fill("they have left");
  // An answer that is refused is there to be mended: nothing has to be typed again.
  await everybody.getByLabel("Who answers for it").fill("");
  await everybody.locator("button.danger").click();
  await olga.page.locator(".said.bad").waitFor();
  assert.equal(await everybody.getByLabel("Why").inputValue(), "they have left");
  await everybody.getByRole("button", { name: "Release all" }).click();
  await olga.page.locator(".said", { hasText: "9 people" }).waitFor();
  await server.until("accounts/drift-19@duties.example", (account) => account.state === "suspended");
  await olga.page.goto(here);
  await olga.page.getByText("Everybody is as listed.").waitFor();
  await olga.accessible();
  await olga.done();
});

test("all of history is verified in one press", async () => {
  const ann = await person("auditor", "ann@duties.example");
  await ann.open("/history/verify");
  await ann.page.getByRole("link", { name: "Verify from the beginning" }).click();
  await ann.page.getByText("That is all of history").waitFor();
  await ann.accessible();
  assert.match(ann.page.url(), /place=/, "a reload finds it where it is");
  await ann.page.getByText("That is all of history").waitFor();
  await ann.done();
});
