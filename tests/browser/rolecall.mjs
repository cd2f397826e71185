// What the tests in a browser have in common: a server of one's own, an identity provider's side of it, and a browser that notices what
// pages must not do.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const binary = process.env.ROLECALL_BINARY;
const database = process.env.ROLECALL_TEST_DATABASE_URL;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** A server that `rolecall dev` runs, with one tenant from a folder. */
export class Server {
  static async start(folder, ...more) {
    const args = ["dev", "--tenant", folder, ...(database ? ["--database-url", database] : []), ...more];
    const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
    let log = "";
    child.stderr.on("data", (chunk) => { log += chunk; });
    const line = await new Promise((resolve, reject) => {
      createInterface(child.stdout).once("line", resolve);
      child.once("exit", () => reject(new Error(`rolecall dev ended at once:\n${log}`)));
    });
    return new Server(child, JSON.parse(line), () => log);
  }

  constructor(child, first, log) {
    Object.assign(this, { child, first, log, tenant: first.tenant, root: new URL(first.api_url).origin });
  }

  /** A request to the API: fails unless it succeeds. Paths that do not begin with `/` are the tenant's. */
  async api(method, path, body) {
    const url = this.first.api_url + (path.startsWith("/") ? path : `/tenants/${this.tenant}/${path}`);
    return this.request(method, url, this.first.api_token, "application/json", body);
  }

  /** A request as the identity provider of a connection: the first one unless given. */
  async scim(method, path, body, connection = { base_url: this.first.base_url, token: this.first.token }) {
    return this.request(method, connection.base_url + path, connection.token, "application/scim+json", body);
  }

  async request(method, url, token, type, body) {
    const headers = { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": type }) };
    const answer = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${url}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  /** A link that signs somebody in. */
  async link(scope) {
    return (await this.api("POST", "/workspace/links", { tenant: this.tenant, ...scope })).url;
  }

  /** Waits until what the API says is as wanted. */
  async until(path, fits) {
    for (const end = Date.now() + 30_000; ;) {
      const answer = await this.api("GET", path);
      if (fits(answer)) return answer;
      assert.ok(Date.now() < end, `${path} stays ${JSON.stringify(answer)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async stop() {
    this.child.kill("SIGTERM");
    await new Promise((resolve) => this.child.once("exit", resolve));
    assert.ok(!/panicked at/.test(this.log()), this.log());
  }
}

/** A browser, closed with the tests. */
export async function launch() {
  // Containers often have no sandbox to give a browser, and little shared memory; what it opens here is our own.
  const args = ["--no-sandbox", "--disable-dev-shm-usage"];
  return chromium.launch({ executablePath: process.env.CHROMIUM, args });
}

/** Somebody at a browser of their own. What a page must not do is kept in `defects`: `done` fails for it. */
export class Person {
  static async at(browser, server, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    const person = new Person(server, context, page);
    person.watch(page);
    return person;
  }

  constructor(server, context, page) {
    Object.assign(this, { server, context, page, defects: [], expected: new Set() });
  }

  watch(page) {
    // A provider's own pages are its own affair.
    const ours = (url) => url.startsWith(this.server.root);
    page.on("pageerror", (error) => this.defects.push(`error in ${page.url()}: ${error.message}`));
    page.on("console", (message) => {
      const text = message.text();
      // A page that says no (403, 404) is an answer; anything else in the console is a defect, a violated policy above all.
      if (message.type() === "error" && ours(page.url()) && !/the server responded with a status of 4\d\d/.test(text)) this.defects.push(`${page.url()}: ${text}`);
    });
    page.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      const here = request.isNavigationRequest() || ours(request.frame().url());
      if (protocol.startsWith("http") && here && origin !== this.server.root && !this.expected.has(origin)) this.defects.push(`a request to ${request.url()}`);
    });
    page.on("response", (response) => { if (response.status() >= 500 && ours(response.url())) this.defects.push(`${response.status()} ${response.url()}`); });
  }

  /** Signs in with a link of the operator's making. */
  async signIn(scope) {
    await this.page.goto(await this.server.link(scope));
    await this.page.getByRole("button", { name: "Sign in" }).click();
    await this.page.waitForURL(/\/workspace/);
  }

  /** A page of the tenant. */
  async open(path) {
    return this.page.goto(`${this.server.root}/workspace/t/${this.server.tenant}${path}`);
  }

  /** Fails for what axe finds serious in the page as it is. */
  async accessible() {
    // axe is a script of ours that the page's policy rightly refuses: it runs outside of the policy.
    const [found] = await this.inspect(async () => [await this.page.evaluate(async (source) => {
      (0, eval)(source);
      return (await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })).violations;
    }, axe)]);
    const serious = found.filter((one) => ["serious", "critical"].includes(one.impact));
    assert.deepEqual(serious.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" | ").slice(0, 300)}`), [], this.page.url());
    assert.ok(await this.page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth), `${this.page.url()} is wider than the window`);
  }

  async inspect(look) {
    const session = await this.context.newCDPSession(this.page);
    try {
      await session.send("Page.setBypassCSP", { enabled: true });
      // A page's policy is fixed when it is loaded.
      await this.page.reload();
      return await look();
    } finally {
      await session.send("Page.setBypassCSP", { enabled: false });
      await session.detach();
      await this.page.reload();
    }
  }

  async done() {
    await this.context.close();
    assert.deepEqual(this.defects, []);
  }
}
