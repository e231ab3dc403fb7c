/** `getty sessions`: the open sessions of a server. */
import type { SessionReport } from '../../rpc/index.js';
import { addJsonAndExamples, type DefineCommand, type JsonOption, outputOf } from '../command.js';
import { parseInteger } from '../option-values.js';
import { ageText, bytesText } from '../output/quantity.js';
import type { Column } from '../output/table.js';
import { MAX_SESSIONS, otherSessions } from '../sessions/other-sessions.js';
import { addConnectionOptions, type ConnectionOptions } from '../target/connection-options.js';
import { connectTo } from '../target/server-connection.js';
import { parseAddress } from '../target/target.js';

interface SessionsOptions extends ConnectionOptions, JsonOption {
  readonly limit?: number;
}

const DEFAULT_LIMIT = 100;

/** The server serves the calls of the peer. */
const COLUMNS: readonly Column<SessionReport>[] = [
  { title: 'PEER', cell: ({ peer }) => peer },
  { title: 'KIND', cell: ({ extended }) => kindOf(extended) },
  { title: 'IDENTITY', cell: ({ identity }) => identity },
  { title: 'AGE', cell: ({ age }) => ageText(age) },
  { title: 'RECEIVED', cell: ({ bytesRead }) => bytesText(bytesRead) },
  { title: 'SENT', cell: ({ bytesWritten }) => bytesText(bytesWritten) },
  { title: 'QUEUED', cell: ({ queuedBytes }) => bytesText(queuedBytes) },
  { title: 'SERVING', cell: ({ serving }) => serving },
  { title: 'SERVED', cell: ({ served }) => served.succeeded + served.failed },
  { title: 'FAILED', cell: ({ served }) => served.failed },
  { title: 'CALLING', cell: ({ pending }) => pending },
  { title: 'CALLED', cell: ({ calls }) => calls.succeeded + calls.failed },
  { title: 'FAILED', cell: ({ calls }) => calls.failed },
  { title: 'ID', cell: ({ id }) => id },
];

/** A peer is known by its first message. */
function kindOf(extended: boolean | undefined): string {
  if (extended === undefined) return 'unknown';
  return extended ? 'extended' : 'plain';
}

export const defineSessions: DefineCommand = (program, terminal) => {
  const command = program
    .command('sessions')
    .summary('list the open sessions of a server')
    .description(
      'List the open sessions of a server, those with the most QUEUED bytes first, which the peer\n' +
        'has not accepted yet, then those with the most calls in flight. IDENTITY is what auth() of\n' +
        'the server knows of the peer. SERVING and SERVED are calls of the peer, CALLING and CALLED\n' +
        'are calls to the peer. A plain peer is one of Go.',
    )
    .argument('<address>', 'such as tcp://127.0.0.1:8849')
    .option('--limit <number>', `the most sessions, up to ${MAX_SESSIONS} (default: 100)`, (text) =>
      parseInteger('--limit', text, 1, MAX_SESSIONS),
    );
  addConnectionOptions(command);
  command.action(async (address: string, options: SessionsOptions) => {
    const output = outputOf(terminal, options);
    const client = await connectTo(parseAddress(address, options), options, terminal);
    try {
      const { limit = DEFAULT_LIMIT } = options;
      const { total, sessions: others, isOwnLeftOut } = await otherSessions(client, terminal);
      const sessions = others.slice(0, limit);
      if (output.isJson) return await output.jsonValue({ total, sessions });
      await output.table(sessions, COLUMNS);
      const shown = sessions.length;
      const rest = isOwnLeftOut ? '' : ', with that of this command';
      output.progress(
        total > shown
          ? `sessions: ${total}, of which ${shown} ${shown === 1 ? 'is' : 'are'} shown; --limit shows more`
          : `sessions: ${total}${rest}`,
      );
    } finally {
      client.destroy();
    }
  });
  addJsonAndExamples(
    command,
    'getty sessions tcp://127.0.0.1:8849',
    'getty sessions tcp://127.0.0.1:8849 --limit 1000 --json',
  );
};
