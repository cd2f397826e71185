/// <reference path="./contract/interfaces/rolecall-plugin-types.d.ts" />
// A plugin's hooks over the contract's texts, for unit tests in Node.

import type { Host, Plugin } from "./index.js";
import type { Answer, Proposal, Question } from "rolecall:plugin/types@1.0.0";

/** `validate-settings`: throws a `Refusal` when they won't do. */
export function validateSettings<S extends object>(plugin: Plugin<S>, json: string): void;
/** `transform-user`: throws a `Refusal` for a person who is refused. */
export function transform<S extends object>(plugin: Plugin<S>, question: Question, host: Host): Answer;
/** `propose-roles`. */
export function propose<S extends object>(plugin: Plugin<S>, question: Question, account: string, host: Host): Proposal[];
