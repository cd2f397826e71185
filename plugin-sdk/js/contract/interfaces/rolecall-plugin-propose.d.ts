/// <reference path="./rolecall-plugin-types.d.ts" />
declare module 'rolecall:plugin/propose@1.0.0' {
  /**
   * The roles that the plugin nominates for a person with this account (a JSON object).
   */
  export function proposeRoles(question: Question, account: string): Array<Proposal>;
  export type Question = import('rolecall:plugin/types@1.0.0').Question;
  export type Proposal = import('rolecall:plugin/types@1.0.0').Proposal;
  export type PluginError = import('rolecall:plugin/types@1.0.0').PluginError;
}
