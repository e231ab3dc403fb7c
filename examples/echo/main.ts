/**
 * Echo over any transport; only the address differs.
 *
 *   npm run example -- echo --address tcp://127.0.0.1:8848             server and client in one
 *   npm run example -- echo --address udp://127.0.0.1:8848 --server
 *   npm run example -- echo --address udp://127.0.0.1:8848 --client
 *
 * A server of wss:// needs --cert and --key, and a client --ca if the certificate is your own.
 */
import { parseArgs } from 'node:util';
import { connect, serve } from 'getty-ts';
import { answering } from './answering.js';
import { COMMAND, echoCodec } from './codec.js';

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
const both = values.server === values.client;
const { cert, key, ca } = values;

async function startServer() {
  const server = await serve(
    values.address,
    { codec: echoCodec, listener: answering },
    { tls: cert === undefined ? undefined : { cert, key } },
  );
  console.log(`listening at ${server.address}`);
  return server;
}

async function runClient(address: string): Promise<void> {
  const count = Number(values.count);
  let answers = 0;
  let done = (): void => {};
  const finished = new Promise<void>((resolve) => {
    done = resolve;
  });
  await using client = await connect(
    address,
    {
      codec: echoCodec,
      cronPeriod: 15_000,
      listener: {
        onMessage(_, { sequence, text }) {
          console.log(`${sequence}: ${text}`);
          if (++answers === count + 1) done();
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

if (both) {
  await using server = await startServer();
  await runClient(server.address);
} else if (values.server) {
  const server = await startServer();
  process.once('SIGINT', () => void server.close());
} else {
  await runClient(values.address);
}
