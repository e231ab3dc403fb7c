/** One flush per tick: sessions that wrote are flushed together when the tick and its promises are done. */

export interface Flushable {
  flush(): void;
}

// nextTick runs when all promise continuations of the tick have run, so their writes leave in the same system call.
const schedule: (task: () => void) => void = globalThis.process?.nextTick ?? queueMicrotask;

let dirty: Flushable[] = [];

/** Flush `session` at the end of this tick. Call it once per flush. */
export function flushSoon(session: Flushable): void {
  if (dirty.push(session) === 1) schedule(flushAll);
}

function flushAll(): void {
  const sessions = dirty;
  dirty = [];
  for (const session of sessions) session.flush();
}
