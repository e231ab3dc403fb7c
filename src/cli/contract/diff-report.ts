/** The changes between two snapshots as text for people. */
import { MAX_MESSAGE, printable } from '../output/printable.js';
import type { Change, ContractDiff } from './change-list.js';

export function isBreaking({ breaks }: Change): boolean {
  return breaks.length > 0;
}

/** The changes that break something first. */
export function diffLines({ changes, uncompared }: ContractDiff): string[] {
  const breaking = changes.filter(isBreaking);
  const others = changes.filter((change) => !isBreaking(change));
  return [
    ...[...breaking, ...others].map(changeLine),
    ...uncompared.map(({ where, why }) => printable(`not compared  ${where}: ${why}`, MAX_MESSAGE)),
    summary(changes.length, breaking.length, uncompared.length),
  ];
}

/** `breaks callers  Greeter v1 hello input.name: string → number; why [rule]`. */
function changeLine({ rule, breaks, where, what, why }: Change): string {
  const effect = breaks.length === 0 ? 'breaks none' : `breaks ${breaks.join(', ')}`;
  return printable(`${effect}  ${where}: ${what}; ${why} [${rule}]`, MAX_MESSAGE);
}

function summary(changes: number, breaking: number, uncompared: number): string {
  const text = changes === 0 ? 'no changes' : `changes: ${changes}, breaking: ${breaking}`;
  return uncompared === 0 ? text : `${text}, not compared: ${uncompared}`;
}
