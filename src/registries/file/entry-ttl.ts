/**
 * The ttl of an entry. A publisher times its heartbeats by its own ttl, which readers cannot know.
 * The text of the file is exactly the entry's value. So the publisher stores the ttl in the access
 * time of the file: the time of modification + MARK + ttl.
 *
 * One call sets both times, so their difference depends on no clock and stays the same after
 * rename(). File systems usually update an access time never, or only if it is not after the time
 * of modification (`relatime`). Some update it at each read; there, a reader that sees the file for
 * the first time may have to do without the ttl until the next heartbeat.
 */
import type { Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { LONGEST_TIMER } from '../../core/timers.js';

/** Milliseconds. */
export const SHORTEST_TTL = 20;
/**
 * Milliseconds. Longer than the time between two heartbeats can be, so that the access time of a
 * read is never taken for a ttl. Whole seconds, because some file systems store no fractions.
 */
const MARK = 25 * 24 * 3_600_000;

/** Sets the time of modification to now, and stores `ttl`, in milliseconds. */
export async function touch(file: FileHandle, ttl: number): Promise<void> {
  // The middle of a millisecond: a runtime that stores whole ones rounds both times alike.
  const now = Date.now() + 0.5;
  await file.utimes((now + MARK + ttl) / 1_000, now / 1_000);
}

/** Milliseconds. undefined: no publisher has stored a ttl, or another program has changed it. */
export function ttlOf({ atimeMs, mtimeMs }: Stats): number | undefined {
  const ttl = Math.round(atimeMs - mtimeMs - MARK);
  return ttl >= SHORTEST_TTL && ttl <= LONGEST_TIMER ? ttl : undefined;
}
