/**
 * Echo over any transport: only the address differs.
 *
 *   npm run example -- echo --address tcp://127.0.0.1:8848             server and client in one
 *   npm run example -- echo --address udp://127.0.0.1:8848 --server
 *   npm run example -- echo --address udp://127.0.0.1:8848 --client
 *
 * A server at wss:// needs --cert and --key; a client needs --ca for a certificate of your own CA.
 */
import { parseArgs } from 'node:util';
import { connect, serve } from 'getty-ts';
import { COMMAND, echoCodec } from './codec.js';
import { echoListener } from './echo-listener.js';

const { values } = parseArgs({
  options: {
    address: { type: 'string', default: 'tcp://127.0.0.1:8848' },
    server: { type: 'boolean', default: false },
    client: { type: 'boolean', default: false },
    count: { type: 'string', default: '3' },
    cert: { type: 'string' },
    key: { type: 'string' },
    ca: { type: 'string' },
  },
});
const isBoth = values.server === values.client;
const { cert, key, ca } = values;

async function startServer() {
  const server = await serve(
    values.address,
    { codec: echoCodec, listener: echoListener },
    { tls: cert === undefined ? undefined : { cert, key } },
  );
  console.log(`listening at ${server.address}`);
  return server;
}

async function runClient(address: string): Promise<void> {
  const count = Number(values.count);
  let answers = 0;
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  await using client = await connect(
    address,
    {
      codec: echoCodec,
      cronPeriod: 15_000,
      listener: {
        onMessage(_, { sequence, text }) {
          console.log(`${sequence}: ${text}`);
          if (++answers === count + 1) finish();
        },
        onCron: (session) =>
          void session.write({ logId: 0, sequence: 0, command: COMMAND.heartbeat, text: 'ping' }),
        onError: (_, error) => console.error(error.message),
      },
    },
    { tls: ca === undefined ? undefined : { ca } },
  );
  const session = await client.session();
  for (let sequence = 1; sequence <= count; sequence++) {
    session.write({
      logId: (Math.random() * 2 ** 32) >>> 0,
      sequence,
      command: COMMAND.echo,
      text: 'Hello, getty!',
    });
  }
  session.write({ logId: 0, sequence: count + 1, command: COMMAND.heartbeat, text: 'ping' });
  await finished;
}

if (isBoth) {
  await using server = await startServer();
  await runClient(server.address);
} else if (values.server) {
  const server = await startServer();
  process.once('SIGINT', () => void server.close());
} else {
  await runClient(values.address);
}
