/** The numbers and names that a message or an enum reserves, so that nothing gets them again. */
import type { NumberRange } from '../snapshot.js';

interface Reservations {
  readonly reservedNames?: readonly string[] | undefined;
  readonly reservedNumbers?: readonly NumberRange[] | undefined;
}

/** Whether the number of a removed field or value is reserved. With JSON its name must be too. */
export function isReserved(
  { reservedNames = [], reservedNumbers = [] }: Reservations,
  { name, number }: { readonly name: string; readonly number: number },
  hasJson: boolean,
): boolean {
  const isNumberReserved = reservedNumbers.some(
    ([first, last]) => first <= number && number <= last,
  );
  return isNumberReserved && (!hasJson || reservedNames.includes(name));
}
