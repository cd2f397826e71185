declare module 'rolecall:plugin/types@1.0.0' {
  /**
   * What a plugin says of itself. Asked once, when it is loaded.
   */
  export interface Description {
    /**
     * Its name, for people: 1 to 100 bytes.
     */
    name: string,
    /**
     * Its version, for people: 1 to 100 bytes.
     */
    version: string,
    /**
     * The SCIM paths that it reads; the user that it gets holds these and nothing else.
     * `userName`, `name.givenName`, `emails`, a whole extension by its URN, one of its attributes
     * (`urn:…:User:department`). `{x}` stands for the text of the member `x` of the settings; a path whose
     * member is missing from the settings is left out.
     */
    reads: Array<string>,
  }
  /**
   * What every question carries.
   */
  export interface Question {
    /**
     * The instant of the evaluation: RFC 3339, UTC, whole seconds, so that texts compare as instants do.
     */
    asOf: string,
    /**
     * The connection's id.
     */
    connection: string,
    /**
     * The plugin's settings: a JSON object.
     */
    settings: string,
    /**
     * The SCIM User: a JSON object, projected to what the plugin reads.
     */
    user: string,
    /**
     * The handles of the person's groups, direct and inherited, sorted.
     */
    groups: Array<string>,
  }
  /**
   * Where a value of the account came from.
   */
  export interface Provenance {
    /**
     * An attribute of the account, such as `department` or `tags.worker_type`.
     */
    attribute: string,
    /**
     * A SCIM path or the name of a rule.
     */
    source: string,
  }
  /**
   * The account that a person gets.
   */
  export interface Account {
    /**
     * A JSON object; docs/plugins.md lists its attributes.
     */
    json: string,
    /**
     * For its attributes, where each came from.
     */
    provenance: Array<Provenance>,
  }
  /**
   * What becomes of a person whom the plugin does not refuse.
   */
  export type Answer = AnswerAccount | AnswerOutOfScope;
  /**
   * An account.
   */
  export interface AnswerAccount {
    tag: 'account',
    val: Account,
  }
  /**
   * This person is none of the tenant's, and why: accepted over SCIM, no account.
   */
  export interface AnswerOutOfScope {
    tag: 'out-of-scope',
    val: string,
  }
  /**
   * The author refuses: a person, or settings.
   */
  export interface PluginError {
    /**
     * A stable word, such as `employee_number_missing`: lower-case letters, digits and underscores.
     */
    code: string,
    /**
     * What is concerned: a SCIM path, or a path in the settings.
     */
    path?: string,
    /**
     * What is wrong and what to do, for people.
     */
    message: string,
  }
  /**
   * A role that the plugin nominates; policies decide.
   */
  export interface Proposal {
    /**
     * The role's id in the tenant's catalogue.
     */
    role: string,
    /**
     * The rule that nominated it, for people.
     */
    because?: string,
  }
}
