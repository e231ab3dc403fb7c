/** What the three programs share. */
import { once } from 'node:events';
import { parseArgs } from 'node:util';

/** The port in the flag `--port`; without it a free port. */
export function portOf(argv) {
  const { values } = parseArgs({
    args: argv.slice(2),
    options: { port: { type: 'string', default: '0' } },
  });
  return Number(values.port);
}

/** Resolves at SIGINT, which ends the program. */
export async function untilInterrupted() {
  await once(process, 'SIGINT');
}
