/** What a message or an enum reserves, so that nothing gets the number or the name again. */
import type { NumberRange } from '../snapshot.js';

interface Reservations {
  readonly reservedNames?: readonly string[] | undefined;
  readonly reservedNumbers?: readonly NumberRange[] | undefined;
}

/** Whether a number is reserved, and with `names` the name too. */
export function isReserved(
  { reservedNames = [], reservedNumbers = [] }: Reservations,
  { name, number }: { readonly name: string; readonly number: number },
  names: boolean,
): boolean {
  const isNumberReserved = reservedNumbers.some(
    ([first, last]) => first <= number && number <= last,
  );
  return isNumberReserved && (!names || reservedNames.includes(name));
}
