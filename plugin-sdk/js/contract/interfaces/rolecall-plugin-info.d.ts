/// <reference path="./rolecall-plugin-types.d.ts" />
declare module 'rolecall:plugin/info@1.0.0' {
  /**
   * Name, version, what it reads.
   */
  export function describe(): Description;
  /**
   * Whether the settings (a JSON object) will do. Asked when a revision is checked, not at every call.
   */
  export function validateSettings(settings: string): void;
  export type Description = import('rolecall:plugin/types@1.0.0').Description;
  export type PluginError = import('rolecall:plugin/types@1.0.0').PluginError;
}
