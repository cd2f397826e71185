#!/usr/bin/env node
// SCIMMY's and scim-patch's classes as a client: they make the requests, read the answers, and say what a PATCH must come to.
// usage: clients.mjs BASE_URL, with the token in ROLECALL_TOKEN
import assert from "node:assert/strict";
import SCIMMY from "scimmy";
import { patchBodyValidation, scimPatch } from "scim-patch";

const [base] = process.argv.slice(2);
const token = process.env.ROLECALL_TOKEN;
const { User, Group, EnterpriseUser, ServiceProviderConfig } = SCIMMY.Schemas;
const { PatchOp, ListResponse, SearchRequest, ErrorResponse } = SCIMMY.Messages;
const PATCH = PatchOp.id;
const run = Date.now().toString(36);
let passed = 0;

User.extend(EnterpriseUser, false);

async function send(method, path, body, headers = {}) {
  const answer = await fetch(base + path, {
    method,
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/scim+json", Accept: "application/scim+json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: text === "" ? undefined : JSON.parse(text) };
}

/** An error as SCIMMY reads it: it throws what the server said. */
function errorOf(body) {
  try {
    return new ErrorResponse(body);
  } catch (error) {
    return error;
  }
}

async function check(name, test) {
  try {
    await test();
  } catch (error) {
    throw new Error(`clients from npm: ${name}: ${error.message}`, { cause: error });
  }
  passed += 1;
}

/** What a resource comes to when both libraries apply the operations; they have to agree. */
async function predicted(resource, operations) {
  const message = { schemas: [PATCH], Operations: operations };
  patchBodyValidation(message);
  const copy = JSON.parse(JSON.stringify(resource));
  const second = scimPatch(copy, JSON.parse(JSON.stringify(operations)));
  const first = await new PatchOp(message).apply(new User(resource, "out"), (instance) => instance);
  return [first, second].map((one) => JSON.parse(JSON.stringify(one ?? resource)));
}

const kept = ["userName", "title", "name", "emails", "active", EnterpriseUser.definition.id];
const essence = (resource) => Object.fromEntries(kept.filter((name) => resource[name] !== undefined).map((name) => [name, resource[name]]));

let ada;
let group;

await check("discovery", async () => {
  const config = await send("GET", "/ServiceProviderConfig");
  assert.equal(config.status, 200);
  assert.equal(new ServiceProviderConfig(config.body, "out").patch.supported, true);
  const types = new ListResponse((await send("GET", "/ResourceTypes")).body);
  assert.deepEqual(types.Resources.map((type) => type.name).sort(), ["Group", "User"]);
  const schemas = new ListResponse((await send("GET", "/Schemas")).body);
  for (const { id } of [User.definition, Group.definition, EnterpriseUser.definition]) {
    assert.ok(schemas.Resources.some((schema) => schema.id === id), id);
  }
});

await check("create and read", async () => {
  const wanted = new User({
    schemas: [User.definition.id, EnterpriseUser.definition.id],
    userName: `scimmy-${run}@acme.example`,
    name: { givenName: "Ada", familyName: "Lindqvist" },
    emails: [{ value: `scimmy-${run}@acme.example`, type: "work", primary: true }],
    active: true,
    [EnterpriseUser.definition.id]: { department: "Research" },
  }, "in");
  const created = await send("POST", "/Users", wanted);
  assert.equal(created.status, 201);
  ada = new User(created.body, "out");
  assert.equal(created.headers.get("location"), ada.meta.location);
  const read = await send("GET", `/Users/${ada.id}`);
  assert.deepEqual(read.body, created.body);
  const unchanged = await send("GET", `/Users/${ada.id}`, undefined, { "If-None-Match": created.headers.get("etag") });
  assert.equal(unchanged.status, 304);
});

await check("the same name twice", async () => {
  const again = await send("POST", "/Users", { schemas: [User.definition.id], userName: ada.userName.toUpperCase() });
  const { scimType, status } = errorOf(again.body);
  assert.deepEqual([again.status, scimType, String(status)], [409, "uniqueness", "409"]);
});

await check("a filter means what SCIMMY means by it", async () => {
  const names = ["b", "c"].map((letter) => `scimmy-${letter}-${run}@acme.example`);
  for (const userName of names) {
    const emails = [{ value: userName, type: "home" }];
    const body = { schemas: [User.definition.id], userName, title: userName.slice(0, 8), name: { familyName: "Berg" }, emails };
    assert.equal((await send("POST", "/Users", body)).status, 201);
  }
  const everybody = new ListResponse((await send("GET", "/Users?count=1000")).body).Resources;
  // In the values' own case: SCIMMY's filters don't know which attributes are case exact.
  for (const filter of [
    `userName eq "${ada.userName}"`,
    `userName sw "scimmy-" and not (title pr)`,
    `emails[type eq "work" and value ew "acme.example"]`,
    `title co "-b" or name.familyName eq "Lindqvist"`,
    `(title sw "scimmy" or active eq true) and userName ne "${names[0]}"`,
  ]) {
    const wanted = new SCIMMY.Types.Filter(filter).match(everybody).map((user) => user.id).sort();
    const search = new SearchRequest().prepare({ filter, attributes: ["userName"] });
    const found = new ListResponse((await send("POST", "/Users/.search", search)).body);
    assert.deepEqual(found.Resources.map((user) => user.id).sort(), wanted, filter);
    const query = new URLSearchParams({ filter });
    assert.equal((await send("GET", `/Users?${query}`)).body.totalResults, wanted.length, filter);
  }
  for (const user of everybody.filter((user) => names.includes(user.userName))) {
    assert.equal((await send("DELETE", `/Users/${user.id}`)).status, 204);
  }
});

await check("a PATCH comes to what both libraries say", async () => {
  for (const operations of [
    [{ op: "add", path: "title", value: "Engineer" }],
    [{ op: "replace", path: "name.familyName", value: "Löwe" }],
    [{ op: "add", path: "emails", value: [{ value: `home-${run}@acme.example`, type: "home" }] }],
    [{ op: "replace", path: 'emails[type eq "home"].value', value: `other-${run}@acme.example` }],
    [{ op: "remove", path: 'emails[type eq "home"]' }],
    [{ op: "replace", value: { title: "Lead", active: false } }],
    [{ op: "remove", path: "title" }, { op: "replace", path: "active", value: true }],
  ]) {
    const before = (await send("GET", `/Users/${ada.id}`)).body;
    const wanted = await predicted(before, operations);
    const patched = await send("PATCH", `/Users/${ada.id}`, new PatchOp({ schemas: [PATCH], Operations: operations }));
    assert.equal(patched.status, 200, JSON.stringify(patched.body));
    for (const one of wanted) {
      assert.deepEqual(essence(patched.body), essence(one), JSON.stringify(operations));
    }
  }
});

await check("PUT of what was read changes nothing, and a stale one is refused", async () => {
  const before = await send("GET", `/Users/${ada.id}`);
  const same = await send("PUT", `/Users/${ada.id}`, before.body);
  assert.deepEqual([same.status, same.body], [200, before.body]);
  const next = new User({ ...before.body, title: "Head" }, "in");
  const stale = await send("PUT", `/Users/${ada.id}`, next, { "If-Match": 'W/"1"' });
  assert.equal(stale.status, 412);
  const replaced = await send("PUT", `/Users/${ada.id}`, next, { "If-Match": before.headers.get("etag") });
  assert.equal(new User(replaced.body, "out").title, "Head");
});

await check("a group with its members", async () => {
  const wanted = new Group({ schemas: [Group.definition.id], displayName: `Engineers ${run}`, members: [{ value: ada.id }] }, "in");
  const created = await send("POST", "/Groups", wanted);
  assert.equal(created.status, 201);
  group = new Group(created.body, "out");
  assert.deepEqual(group.members.map((member) => member.value), [ada.id]);
  const listed = (await send("GET", `/Users/${ada.id}`)).body.groups;
  assert.deepEqual(listed.map((one) => one.value), [group.id]);
  const path = `members[value eq "${ada.id}"]`;
  const removed = await send("PATCH", `/Groups/${group.id}`, new PatchOp({ schemas: [PATCH], Operations: [{ op: "remove", path }] }));
  assert.ok([200, 204].includes(removed.status));
  const empty = (await send("GET", `/Groups/${group.id}`)).body;
  assert.equal(empty.members?.length ?? 0, 0);
});

await check("delete", async () => {
  for (const path of [`/Groups/${group.id}`, `/Users/${ada.id}`]) {
    assert.equal((await send("DELETE", path)).status, 204);
    const gone = await send("GET", path);
    assert.equal(gone.status, 404);
    assert.equal(String(errorOf(gone.body).status), "404");
  }
});

console.log(`${passed} checks by SCIMMY and scim-patch`);
