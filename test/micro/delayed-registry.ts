/** A registry whose first list is late. */
import { once } from 'node:events';
import type { Registry } from '../../src/micro/types.js';

/** The registry `inner`, whose watches give no list before `listed` resolves. */
export function delayedRegistry(inner: Registry, listed: Promise<unknown>): Registry {
  return {
    register: (node) => inner.register(node),
    async *watch(query, options) {
      await Promise.race([listed, once(options?.signal as AbortSignal, 'abort')]);
      yield* inner.watch(query, options);
    },
    list: () => inner.list(),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}
