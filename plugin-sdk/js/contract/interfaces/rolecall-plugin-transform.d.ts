/// <reference path="./rolecall-plugin-types.d.ts" />
declare module 'rolecall:plugin/transform@1.0.0' {
  /**
   * What becomes of a person.
   */
  export function transformUser(question: Question): Answer;
  export type Question = import('rolecall:plugin/types@1.0.0').Question;
  export type Answer = import('rolecall:plugin/types@1.0.0').Answer;
  export type PluginError = import('rolecall:plugin/types@1.0.0').PluginError;
}
