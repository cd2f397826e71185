// The seam between the contract's exports and ./run.js.

import { Refusal } from "./index.js";
import * as run from "./run.js";

// A `Refusal` is the contract's error. Anything else that is thrown is a fault: a bare trap, so its words go to the tenant's plugin log first.
function guarded(host, hook) {
  try {
    return hook();
  } catch (error) {
    // The bindings make an exception with a `payload` the contract's error.
    if (error instanceof Refusal) throw Object.assign(error, { payload: { code: error.code, path: error.path, message: error.message } });
    host.log("error", error instanceof Error ? `${error}\n${error.stack ?? ""}`.trim() : `thrown: ${error}`);
    throw error;
  }
}

export function guest(plugin, host) {
  return {
    info: {
      describe: () => ({ name: plugin.name, version: plugin.version, reads: [...plugin.reads] }),
      validateSettings: (settings) => guarded(host, () => run.validateSettings(plugin, settings)),
    },
    transform: { transformUser: (question) => guarded(host, () => run.transform(plugin, question, host)) },
    propose: { proposeRoles: (question, account) => guarded(host, () => run.propose(plugin, question, account, host)) },
  };
}
