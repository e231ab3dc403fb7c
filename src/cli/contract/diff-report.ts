/** The changes between two snapshots as text for people. */
import { MAX_MESSAGE, printable } from '../output/printable.js';
import type { Change, ContractDiff, Uncompared } from './change-list.js';

export function isBreaking({ breaks }: Change): boolean {
  return breaks.length > 0;
}

/** The changes that break something first. */
export function diffLines({ changes, uncompared }: ContractDiff): string[] {
  const breaking = changes.filter(isBreaking);
  const others = changes.filter((change) => !isBreaking(change));
  return [
    ...[...breaking, ...others].map(changeLine),
    ...uncomparedLines(uncompared),
    summary(changes.length, breaking.length, uncompared.length),
  ];
}

/** `not compared  Greeter v1 hello: why; and 3 other parts`. One line for each service. */
function uncomparedLines(uncompared: readonly Uncompared[]): string[] {
  const services = new Map<string, Uncompared[]>();
  for (const part of uncompared) {
    const parts = services.get(part.service);
    if (parts === undefined) services.set(part.service, [part]);
    else parts.push(part);
  }
  return [...services.values()].map(([first, ...others]) => {
    const rest =
      others.length === 0
        ? ''
        : `; and ${others.length} other ${others.length === 1 ? 'part' : 'parts'}`;
    const text = `not compared  ${first?.where}: ${first?.why}`;
    return printable(text, MAX_MESSAGE - rest.length) + rest;
  });
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
