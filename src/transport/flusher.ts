/** One flush per tick: sessions that wrote are flushed together at its end. */

export interface Flushable {
  flush(): void;
}

// What promise continuations write after an event leaves in one system call. What the event's own callback wrote leaves just before
// them, for Node runs nextTick first where both wait.
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
