/// <reference path="./contract/plugin.d.ts" />
// The seam between the contract's exports and ./run.js: what the build wraps around a plugin.

import type { Host, Plugin } from "./index.js";

/** The contract's exports, of which a build takes those of the plugin's hooks. */
export function guest<S extends object>(
  plugin: Plugin<S>,
  host: Host,
): {
  info: typeof import("rolecall:plugin/info@1.0.0");
  transform: typeof import("rolecall:plugin/transform@1.0.0");
  propose: typeof import("rolecall:plugin/propose@1.0.0");
};
