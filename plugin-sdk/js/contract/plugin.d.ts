/// <reference path="./interfaces/rolecall-plugin-host.d.ts" />
/// <reference path="./interfaces/rolecall-plugin-info.d.ts" />
/// <reference path="./interfaces/rolecall-plugin-propose.d.ts" />
/// <reference path="./interfaces/rolecall-plugin-transform.d.ts" />
/// <reference path="./interfaces/rolecall-plugin-types.d.ts" />
declare module 'rolecall:plugin/plugin@1.0.0' {
  export type * as RolecallPluginHost100 from 'rolecall:plugin/host@1.0.0'; // import rolecall:plugin/host@1.0.0
  export type * as RolecallPluginTypes100 from 'rolecall:plugin/types@1.0.0'; // import rolecall:plugin/types@1.0.0
  export * as info from 'rolecall:plugin/info@1.0.0'; // export rolecall:plugin/info@1.0.0
  export * as transform from 'rolecall:plugin/transform@1.0.0'; // export rolecall:plugin/transform@1.0.0
  export * as propose from 'rolecall:plugin/propose@1.0.0'; // export rolecall:plugin/propose@1.0.0
}
