#!/usr/bin/env node
// Makes a plugin's folder a WebAssembly component, and keeps the kit's typings of the contract.
//   build.js build DIR FILE       builds DIR/src/plugin.js or plugin.ts to FILE; does nothing when nothing has changed
//   build.js contract [--check]   writes contract/ from the WIT, or fails when it is not what the WIT says
// What it is built with is installed from npm, as tools/package-lock.json says, into DIR/.tools or $ROLECALL_PLUGIN_TOOLS.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const KIT = path.dirname(fileURLToPath(import.meta.url));
const WIT = path.join(KIT, "../wit/v1");
const CONTRACT = path.join(KIT, "contract");
// All that would need something from outside the sandbox.
const DISABLED = ["stdio", "random", "clocks", "http", "fetch-event"];
// A change of how things are built builds everything again.
const FORMAT = "1";

class Problem extends Error {}

function say(line) {
  process.stderr.write(`${line}\n`);
}

function sha256(...parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
}

// The files below a folder, but for what is installed or made.
function filesBelow(dir) {
  return fs.readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(dir, entry.name);
    if (entry.isDirectory()) return ["node_modules", "tests", "plugins", "vendor"].includes(entry.name) || entry.name.startsWith(".") ? [] : filesBelow(file);
    return entry.isFile() && !entry.name.startsWith(".") ? [file] : [];
  });
}

function digestOf(...dirs) {
  const parts = [FORMAT];
  for (const dir of dirs) for (const file of filesBelow(dir).sort()) parts.push(path.relative(dir, file), fs.readFileSync(file));
  return sha256(...parts);
}

function npm(dir, ...parameters) {
  const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const done = spawnSync("npm", [...parameters, ...quiet], { cwd: dir, stdio: ["ignore", 2, 2] });
  if (done.error?.code === "ENOENT") throw new Problem("npm is missing: install Node.js 20 or newer with npm");
  if (done.status !== 0) throw new Problem(`npm ${parameters[0]} failed in ${dir}`);
}

// Installs the tools once for each lock file: into a folder of their own that gets its name when it is whole.
function tools(shared) {
  const from = path.join(KIT, "tools");
  const lock = fs.readFileSync(path.join(from, "package-lock.json"));
  const dir = path.join(shared, `js-${sha256(lock).slice(0, 16)}`);
  if (!fs.existsSync(dir)) {
    say("installing what JavaScript plugins are built with, from npm (once, some 220 MB)");
    const unfinished = `${dir}.${process.pid}`;
    fs.mkdirSync(unfinished, { recursive: true });
    for (const name of ["package.json", "package-lock.json"]) fs.copyFileSync(path.join(from, name), path.join(unfinished, name));
    npm(unfinished, "ci");
    try {
      fs.renameSync(unfinished, dir);
    } catch (error) {
      // Another build was quicker.
      fs.rmSync(unfinished, { recursive: true });
      if (!fs.existsSync(dir)) throw error;
    }
  }
  const require = createRequire(path.join(dir, "package.json"));
  return {
    esbuild: require("esbuild"),
    componentize: async () => (await import(pathToFileURL(path.join(dir, "node_modules/@bytecodealliance/componentize-js/src/componentize.js")))).componentize,
    tsc: path.join(path.dirname(require.resolve("typescript/package.json")), "bin/tsc"),
    jco: path.join(dir, "node_modules/.bin/jco"),
  };
}

function source(dir) {
  for (const name of ["src/plugin.js", "src/plugin.ts"]) if (fs.existsSync(path.join(dir, name))) return path.join(dir, name);
  throw new Problem(`there is no src/plugin.js or src/plugin.ts in ${dir}`);
}

// What the plugin needs beside the kit.
function installDependencies(dir) {
  const manifest = path.join(dir, "package.json");
  if (!fs.existsSync(manifest)) return;
  const names = Object.keys(JSON.parse(fs.readFileSync(manifest, "utf8")).dependencies ?? {});
  if (names.every((name) => fs.existsSync(path.join(dir, "node_modules", name)))) return;
  say("installing the plugin's own dependencies, from npm");
  npm(dir, fs.existsSync(path.join(dir, "package-lock.json")) ? "ci" : "install");
}

function checkTypes(dir, tsc) {
  if (!fs.existsSync(path.join(dir, "tsconfig.json"))) return;
  const done = spawnSync(process.execPath, [tsc, "--noEmit", "--project", dir, "--pretty", String(Boolean(process.stderr.isTTY))], { stdio: ["ignore", 2, 2] });
  if (done.status !== 0) throw new Problem("the plugin's types don't fit: see above");
}

async function bundle(esbuild, options) {
  try {
    await esbuild.build({ bundle: true, format: "esm", target: "es2022", logLevel: "silent", alias: { "rolecall-plugin": KIT }, ...options });
  } catch (error) {
    const messages = await esbuild.formatMessages(error.errors ?? [], { kind: "error", color: Boolean(process.stderr.isTTY) });
    if (messages.length === 0) throw error;
    throw new Problem(messages.join("").trim());
  }
}

// The hooks that the plugin has, from the plugin itself: it needs no sandbox to be looked at.
async function hooksOf(file) {
  let plugin;
  try {
    plugin = (await import(pathToFileURL(file))).default;
  } catch (error) {
    throw new Problem(`the plugin can't be loaded: ${error.stack ?? error}`);
  }
  for (const [name, wanted] of [["name", "string"], ["version", "string"]]) {
    if (typeof plugin?.[name] !== wanted) throw new Problem(`src/plugin.js has to export \`default definePlugin({ ${name}, … })\``);
  }
  if (!Array.isArray(plugin.reads)) throw new Problem("the plugin has to say what it `reads`: a list of SCIM paths");
  const hooks = ["transform", "propose"].filter((hook) => typeof plugin[hook] === "function");
  if (hooks.length === 0) throw new Problem("the plugin has no hook: it needs `transform`, `propose` or both");
  return hooks;
}

async function build(dir, output) {
  const plugin = source(dir);
  const stamp = path.join(path.dirname(output), `.${path.basename(output)}.made-of`);
  const inputs = () => `${digestOf(dir, KIT, WIT)} ${fs.existsSync(output) ? sha256(fs.readFileSync(output)) : "nothing"}\n`;
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, "utf8") === inputs()) return;
  const { esbuild, componentize, tsc } = tools(process.env.ROLECALL_PLUGIN_TOOLS ?? path.join(dir, ".tools"));
  installDependencies(dir);
  checkTypes(dir, tsc);
  const made = fs.mkdtempSync(path.join(os.tmpdir(), "rolecall-plugin-"));
  try {
    const [alone, entry, whole] = ["alone.mjs", "entry.js", "whole.js"].map((name) => path.join(made, name));
    await bundle(esbuild, { entryPoints: [plugin], outfile: alone });
    const hooks = await hooksOf(alone);
    const world = hooks.length === 2 ? "plugin" : hooks[0] === "transform" ? "transformer" : "proposer";
    fs.writeFileSync(
      entry,
      `import plugin from ${JSON.stringify(plugin)};\nimport * as host from "rolecall:plugin/host@1.0.0";\n` +
        `import { guest } from "rolecall-plugin/guest.js";\nexport const { info, ${hooks.join(", ")} } = guest(plugin, host);\n`,
    );
    await bundle(esbuild, { entryPoints: [entry], outfile: whole, external: ["rolecall:*"] });
    say("making a component of the plugin and JavaScript's interpreter: some ten seconds");
    const run = await componentize();
    const { component } = await run({ sourcePath: whole, witPath: WIT, worldName: world, disableFeatures: DISABLED });
    fs.mkdirSync(path.dirname(output), { recursive: true });
    fs.writeFileSync(`${output}.unfinished`, component);
    fs.renameSync(`${output}.unfinished`, output);
    fs.writeFileSync(stamp, inputs());
  } finally {
    fs.rmSync(made, { recursive: true });
  }
}

function contract(checks) {
  const { jco } = tools(process.env.ROLECALL_PLUGIN_TOOLS ?? path.join(KIT, ".tools"));
  const made = fs.mkdtempSync(path.join(os.tmpdir(), "rolecall-contract-"));
  try {
    const done = spawnSync(jco, ["guest-types", WIT, "--world-name", "plugin", "--quiet", "--out-dir", made], { stdio: ["ignore", 2, 2] });
    if (done.status !== 0) throw new Problem("the typings can't be made");
    const texts = filesBelow(made).map((file) => [path.relative(made, file), fs.readFileSync(file, "utf8").replace(/[ \t]+$/gm, "")]);
    for (const [name, text] of texts) {
      const file = path.join(CONTRACT, name);
      if (checks) {
        if (!fs.existsSync(file) || fs.readFileSync(file, "utf8") !== text) throw new Problem(`${file} is not what the WIT says: run \`build.js contract\``);
      } else {
        fs.mkdirSync(path.dirname(file), { recursive: true });
        fs.writeFileSync(file, text);
      }
    }
  } finally {
    fs.rmSync(made, { recursive: true });
  }
}

const [command, ...rest] = process.argv.slice(2);
try {
  if (command === "build" && rest.length === 2) await build(path.resolve(rest[0]), path.resolve(rest[1]));
  else if (command === "contract") contract(rest.includes("--check"));
  else throw new Problem("usage: build.js build DIR FILE | contract [--check]");
} catch (error) {
  // Ours are for people; others are for whoever repairs this.
  say(error instanceof Problem ? error.message : (error.stack ?? String(error)));
  process.exitCode = 1;
}
