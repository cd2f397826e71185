// Signing in with a certified OpenID provider, and with answers that must not be accepted.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { SignJWT, decodeJwt, exportJWK, generateKeyPair } from "jose";
import Provider from "oidc-provider";
import { Person, Server, launch } from "./rolecall.mjs";

const folder = process.env.ROLECALL_TENANTS + "/minimal";
const client = { client_id: "rolecall", client_secret: "a-secret-of-the-test" };
let browser, server, provider;

/** A provider on a free port, with the people that are given. `tamper` changes the claims of its next ID tokens. */
class Accounts {
  static async start(root, people) {
    const { privateKey } = await generateKeyPair("RS256", { extractable: true });
    const key = { ...(await exportJWK(privateKey)), kid: "k1", use: "sig", alg: "RS256" };
    const http = createServer();
    await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
    const issuer = `http://127.0.0.1:${http.address().port}`;
    const oidc = new Provider(issuer, {
      clients: [{ ...client, redirect_uris: [`${root}/workspace/callback`], post_logout_redirect_uris: [] }],
      jwks: { keys: [key] },
      cookies: { keys: ["a key of the test"] },
      claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups"] },
      conformIdTokenClaims: false,
      features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
      findAccount: (_, id) => people[id] && { accountId: id, claims: () => ({ sub: id, email: id, email_verified: true, ...people[id] }) },
    });
    const accounts = new Accounts();
    Object.assign(accounts, { http, issuer, privateKey, tamper: null, away: false });
    oidc.use(async (context, next) => {
      await next();
      const token = context.body?.id_token;
      if (accounts.tamper && context.path === "/token" && token) {
        const claims = accounts.tamper(decodeJwt(token));
        const header = { alg: "RS256", kid: "k1" };
        context.body.id_token = typeof claims === "string" ? claims : await new SignJWT(claims).setProtectedHeader(header).sign(privateKey);
      }
    });
    const answer = oidc.callback();
    http.on("request", (request, response) => (accounts.away ? response.writeHead(503).end() : answer(request, response)));
    return accounts;
  }

  async stop() {
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }
}

/** Goes from our page through the provider's to wherever it ends. */
async function signIn(person, login) {
  await person.page.goto(`${server.root}/workspace/sign-in?tenant=${server.tenant}`);
  await person.page.getByRole("link", { name: "Sign in with Acme accounts" }).click();
  await person.page.locator("input[name=login]").fill(login);
  await person.page.locator("input[name=password]").fill("anything");
  await person.page.locator("button[type=submit]").click();
  await person.page.locator("button[type=submit]").click();
}

async function somebody() {
  const person = await Person.at(browser, server);
  person.expected.add(provider.issuer);
  return person;
}

before(async () => {
  [server, browser] = await Promise.all([Server.start(folder), launch()]);
  provider = await Accounts.start(server.root, {
    "ada@acme.example": { groups: ["rolecall-owners"] },
    "rita@acme.example": { groups: ["rolecall-audit", "others"] },
    "nobody@acme.example": { groups: ["others"] },
  });
  await server.api("PUT", "providers/acme", {
    name: "Acme accounts",
    issuer: provider.issuer,
    ...client,
    roles: { "rolecall-owners": ["tenant-owner"], "rolecall-audit": ["auditor"] },
  });
});

after(async () => {
  await browser?.close();
  await server?.stop();
  await provider?.stop();
});

test("groups at the provider give admin roles, and signing out ends the session", async () => {
  const ada = await somebody();
  await signIn(ada, "ada@acme.example");
  await ada.page.waitForURL(`${server.root}/workspace/t/${server.tenant}`);
  assert.match(await ada.page.locator(".who").innerText(), /ada@acme\.example.*tenant-owner/s);
  await ada.page.getByRole("button", { name: "Sign out" }).click();
  await ada.page.getByText("Your session here has ended").waitFor();
  await ada.open("");
  assert.match(ada.page.url(), /sign-in\?next=/);
  await ada.done();
});

test("whoever asked for a page comes to it", async () => {
  const rita = await somebody();
  await rita.open("/history");
  const login = rita.page.url();
  assert.match(login, /next=/);
  await rita.page.getByLabel("Organisation").fill(server.tenant);
  await rita.page.getByRole("button", { name: "Continue" }).click();
  await rita.page.getByRole("link", { name: "Sign in with Acme accounts" }).click();
  await rita.page.locator("input[name=login]").fill("rita@acme.example");
  await rita.page.locator("input[name=password]").fill("anything");
  await rita.page.locator("button[type=submit]").click();
  await rita.page.locator("button[type=submit]").click();
  await rita.page.waitForURL(/\/history$/);
  await rita.done();
});

test("whoever has none of the groups is not let in, and is told why", async () => {
  const nobody = await somebody();
  await signIn(nobody, "nobody@acme.example");
  await nobody.page.getByText("none of your groups there may do anything here").waitFor();
  await nobody.open("");
  assert.match(nobody.page.url(), /sign-in/);
  await nobody.done();
});

const wrong = {
  "an expired answer": (claims) => ({ ...claims, iat: claims.iat - 7200, exp: claims.iat - 3600 }),
  "an answer for another audience": (claims) => ({ ...claims, aud: "another" }),
  "an answer for several, made for another": (claims) => ({ ...claims, aud: ["rolecall", "another"], azp: "another" }),
  "an answer with another nonce": (claims) => ({ ...claims, nonce: "another" }),
  "an answer without a nonce": ({ nonce, ...claims }) => claims,
  "an answer of another issuer": (claims) => ({ ...claims, iss: "https://another.example" }),
  "an answer without a signature": (claims) =>
    [{ alg: "none" }, claims, ""].map((part) => (part ? Buffer.from(JSON.stringify(part)).toString("base64url") : "")).join("."),
};
for (const [name, tamper] of Object.entries(wrong)) {
  test(`${name} is refused`, async () => {
    const ada = await somebody();
    provider.tamper = tamper;
    try {
      await signIn(ada, "ada@acme.example");
      await ada.page.getByText("answer is not accepted").waitFor();
    } finally {
      provider.tamper = null;
    }
    await ada.open("");
    assert.match(ada.page.url(), /sign-in/);
    await ada.done();
  });
}

test("an answer counts once, and in the browser that asked alone", async () => {
  const ada = await somebody();
  const answers = [];
  ada.page.on("request", (request) => { if (request.url().includes("/workspace/callback")) answers.push(request.url()); });
  await signIn(ada, "ada@acme.example");
  await ada.page.waitForURL(/\/workspace\/t\//);
  assert.equal(answers.length, 1);
  await ada.page.goto(answers[0]);
  await ada.page.getByText("belongs to no sign-in that was begun in this browser").waitFor();
  const other = await somebody();
  await other.page.goto(answers[0]);
  await other.page.getByText("belongs to no sign-in that was begun in this browser").waitFor();
  await ada.done();
  await other.done();
});

test("a provider that is away locks nobody out who has a session", async () => {
  const ada = await somebody();
  await signIn(ada, "ada@acme.example");
  await ada.page.waitForURL(/\/workspace\/t\//);
  provider.away = true;
  try {
    await ada.open("");
    assert.equal(await ada.page.getByRole("heading", { level: 1 }).innerText(), "Today");
    const link = await somebody();
    await link.signIn({ admin_roles: ["auditor"] });
    await link.done();
  } finally {
    provider.away = false;
  }
  await ada.done();
});
