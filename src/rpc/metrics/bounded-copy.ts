/** Copies of values of a user's code, which may be of any size. */

/** What a copy may have. */
export interface CopyLimits {
  /** Of its JSON. */
  readonly characters: number;
  /** Values and names. */
  readonly nodes: number;
  /** Levels of objects and lists. */
  readonly depth: number;
}

export interface BoundedCopy {
  readonly value: unknown;
  /** Of its JSON. */
  readonly characters: number;
  /** Values and names. */
  readonly nodes: number;
}

const tooLarge = new Error('too large');

/**
 * A copy of `value` as JSON has it: without functions, and without objects of a library. Undefined:
 * it exceeds a limit; then no more than that is read. Throws what JSON.stringify() throws, such as
 * for a cycle, and what getters throw.
 */
export function boundedCopy(value: unknown, limits: CopyLimits): BoundedCopy | undefined {
  const depths = new WeakMap<object, number>();
  let nodes = 0;
  let characters = 0;
  function check(this: object, key: string, part: unknown): unknown {
    const hasName = depths.has(this) && !Array.isArray(this);
    nodes += hasName ? 2 : 1;
    characters += (hasName ? key.length : 0) + (typeof part === 'string' ? part.length : 1);
    if (nodes > limits.nodes || characters > limits.characters) throw tooLarge;
    if (typeof part !== 'object' || part === null) return part;
    const depth = (depths.get(this) ?? 0) + 1;
    if (depth > limits.depth) throw tooLarge;
    depths.set(part, depth);
    return part;
  }
  try {
    const text = JSON.stringify(value, check);
    // With the quotes, and with escapes.
    if (text.length > limits.characters) return undefined;
    return { value: JSON.parse(text), characters: text.length, nodes };
  } catch (error) {
    if (error === tooLarge) return undefined;
    throw error;
  }
}
