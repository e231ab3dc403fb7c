/** Gives equal JSON values the same number, whatever the order of their keys is. */
import { compareText } from '../canonical.js';

export interface Interned {
  readonly id: number;
  /** Whether it contains a reference. Equal schemas of two documents may differ then. */
  readonly hasRef: boolean;
}

export class Interner {
  readonly #ids = new Map<string, number>();
  /** Of strings, numbers, booleans, null and undefined. */
  readonly #simple = new Map<unknown, Interned>();
  #next = 0;
  readonly #known = new WeakMap<object, Interned>();

  /** Takes time in proportion to the size of the value, and none for a value that is known. */
  idOf(value: unknown): Interned {
    if (typeof value !== 'object' || value === null) return this.#idOfSimple(value);
    const known = this.#known.get(value);
    if (known !== undefined) return known;
    let hasRef = false;
    const partOf = (part: unknown): number => {
      const interned = this.idOf(part);
      hasRef ||= interned.hasRef;
      return interned.id;
    };
    const text = Array.isArray(value)
      ? `[${value.map(partOf).join()}]`
      : `{${Object.entries(value)
          .sort(([a], [b]) => compareText(a, b))
          .map(([name, part]) => `${JSON.stringify(name)}:${partOf(part)}`)
          .join()}}`;
    const interned = {
      id: this.#idOfText(text),
      hasRef: hasRef || Object.hasOwn(value, '$ref') || Object.hasOwn(value, '$dynamicRef'),
    };
    this.#known.set(value, interned);
    return interned;
  }

  #idOfSimple(value: unknown): Interned {
    const known = this.#simple.get(value);
    if (known !== undefined) return known;
    const interned = { id: this.#next++, hasRef: false };
    this.#simple.set(value, interned);
    return interned;
  }

  #idOfText(text: string): number {
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    const id = this.#next++;
    this.#ids.set(text, id);
    return id;
  }
}
