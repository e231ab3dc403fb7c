/** Collects the changes between two snapshots, and what could not be compared. */
import { cut, MAX_CELL, MAX_MESSAGE } from '../output/printable.js';
import { type Party, RULES, type Rule, type RuleId } from './rules.js';

export interface Change {
  readonly rule: RuleId;
  readonly breaks: readonly Party[];
  /** Such as `Greeter v1 hello input.name`. */
  readonly where: string;
  /** What was there, and what is there now. */
  readonly what: string;
  readonly why: string;
}

/** A part that could not be compared. */
export interface Uncompared {
  /** The name and version of the service, or `all`. */
  readonly service: string;
  readonly where: string;
  readonly why: string;
}

export interface ContractDiff {
  readonly changes: readonly Change[];
  readonly uncompared: readonly Uncompared[];
}

/** The most changes, and the most parts that were not compared, of one comparison. */
const MAX_ENTRIES = 10_000;
/** The most comparisons of parts, so that hostile snapshots cannot take minutes. */
const MAX_STEPS = 1_000_000;

/** The place of a part in the place `where`. Long names and places are cut. */
export function placeIn(where: string, part: string): string {
  return where.length < MAX_MESSAGE ? where + cut(part, MAX_CELL) : where;
}

export class ChangeList implements ContractDiff {
  readonly changes: Change[] = [];
  readonly uncompared: Uncompared[] = [];
  #service = '';
  #steps = 0;
  #isStopped = false;

  /** What is skipped from now on is a part of this service. `place`: its name and version. */
  beginService(place: string): void {
    this.#service = place;
  }

  add(rule: RuleId, where: string, what: string): void {
    const { breaks, why }: Rule = RULES[rule];
    if (this.changes.length >= MAX_ENTRIES) return this.#stop('there are too many changes');
    this.changes.push({ rule, breaks, where, what: cut(what, MAX_MESSAGE), why });
  }

  /** Notes a part that cannot be compared. */
  skip(where: string, why: string): void {
    if (this.uncompared.length >= MAX_ENTRIES)
      return this.#stop('too many parts cannot be compared');
    this.uncompared.push({ service: this.#service, where, why: cut(why, MAX_MESSAGE) });
  }

  /** Whether the comparison has ended early. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Counts `cost` comparisons. False: there were too many, so the caller must end. */
  step(cost = 1): boolean {
    if (this.#steps > MAX_STEPS) return false;
    this.#steps += cost;
    if (this.#steps > MAX_STEPS) this.#stop('the snapshots are too large');
    return this.#steps <= MAX_STEPS;
  }

  /** Ends the comparison. Only the first call has an effect. */
  #stop(reason: string): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#steps = MAX_STEPS + 1;
    const why = `${reason}; the rest is not compared`;
    this.uncompared.push({ service: 'all', where: 'all', why });
  }
}
