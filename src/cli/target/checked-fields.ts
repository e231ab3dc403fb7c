/**
 * Reads values of other programs. Nothing in them is trusted: a part of another type than expected
 * is an error.
 */

export type Fields = Readonly<Record<string, unknown>>;

export const own = (value: Fields, name: string): unknown =>
  Object.hasOwn(value, name) ? value[name] : undefined;

/** Functions that read one part each. */
export interface FieldChecks {
  fields(value: unknown, what: string): Fields;
  list(value: unknown, what: string): readonly unknown[];
  text(value: Fields, name: string): string;
  optionalText(value: Fields, name: string): string | undefined;
  number(value: Fields, name: string): number;
  optionalNumber(value: Fields, name: string): number | undefined;
}

/** Checks that call `fail` with what is wrong: `a name that is no text`. */
export function fieldChecks(fail: (what: string) => never): FieldChecks {
  const checks: FieldChecks = {
    fields(value, what) {
      if (typeof value !== 'object' || value === null || Array.isArray(value))
        return fail(`no ${what}`);
      return value as Fields;
    },
    list: (value, what) => (Array.isArray(value) ? value : fail(`no list of ${what}`)),
    text(value, name) {
      const found = own(value, name);
      return typeof found === 'string' ? found : fail(`a ${name} that is no text`);
    },
    optionalText: (value, name) =>
      own(value, name) === undefined ? undefined : checks.text(value, name),
    number(value, name) {
      const found = own(value, name);
      return typeof found === 'number' && Number.isFinite(found)
        ? found
        : fail(`a ${name} that is no number`);
    },
    optionalNumber: (value, name) =>
      own(value, name) === undefined ? undefined : checks.number(value, name),
  };
  return checks;
}
