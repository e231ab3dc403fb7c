/** What the three programs share. */
import { once } from 'node:events';
import { parseArgs } from 'node:util';

/** The flags of the command line. */
export function flags() {
  const { values } = parseArgs({
    options: {
      framework: { type: 'string', default: 'express' },
      // 0: a free port.
      port: { type: 'string', default: '0' },
    },
  });
  return values;
}

/** Resolves at SIGINT, which ends the program. */
export async function untilInterrupted() {
  await once(process, 'SIGINT');
}
