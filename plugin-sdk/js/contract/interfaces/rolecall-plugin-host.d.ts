declare module 'rolecall:plugin/host@1.0.0' {
  /**
   * Writes a line to the tenant's plugin log. Bounded: what is too much is dropped, and the log says so.
   */
  export function log(level: Level, message: string): void;
  /**
   * The row with that key in one of the tenant's lookup tables, as columns and values.
   */
  export function lookup(table: string, key: string): Array<[string, string]> | undefined;
  /**
   * How much a line matters.
   * # Variants
   *
   * ## `"debug"`
   *
   * ## `"info"`
   *
   * ## `"warn"`
   *
   * ## `"error"`
   */
  export type Level = 'debug' | 'info' | 'warn' | 'error';
}
