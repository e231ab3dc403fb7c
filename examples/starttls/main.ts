/**
 * A protocol of lines that begins in plain text and continues with TLS. The client adds two notes,
 * lists them and quits.
 *
 *   npm run example -- starttls --cert server.pem --key server.key.pem --ca authority.pem
 *   npm run example -- starttls --cert server.pem --key server.key.pem --server
 *   npm run example -- starttls --ca authority.pem --client
 */
import { parseArgs } from 'node:util';
import { connect, serve } from 'getty-ts';
import { codec, greeter } from './protocol.js';

const { values } = parseArgs({
  options: {
    address: { type: 'string', default: 'tcp://127.0.0.1:8848' },
    server: { type: 'boolean', default: false },
    client: { type: 'boolean', default: false },
    cert: { type: 'string' },
    key: { type: 'string' },
    ca: { type: 'string' },
  },
});
const { cert, key, ca } = values;
const isBoth = values.server === values.client;

async function startServer() {
  const server = await serve(values.address, {
    codec,
    listener: greeter({ cert, key }),
    maxMessageBytes: 1_000,
    idleTimeout: 60_000,
    // A client that sends commands without end is read at this speed.
    rate: { in: { messages: 50 } },
  });
  console.log(`notes at ${server.address}`);
  return server;
}

async function runClient(address: string): Promise<void> {
  const commands = ['ADD milk', 'ADD bread', 'LIST', 'QUIT'];
  await using client = await connect(
    address,
    {
      codec,
      listener: {
        async onMessage(session, line) {
          console.log(line);
          if (line === '220 notes') session.write('STARTTLS');
          else if (line === '220 ready') {
            const { certificate } = await session.startTls({ ca });
            console.log(`encrypted: ${certificate?.commonName}`);
            session.write(commands.shift() as string);
          } else session.write(commands.shift() ?? 'QUIT');
        },
        onError: (_, error) => console.error(error.message),
        onClose: () => finish(),
      },
    },
    { reconnect: false },
  );
  if (client.current !== undefined) await finished;
}

let finish = (): void => {};
const finished = new Promise<void>((resolve) => {
  finish = resolve;
});

if (isBoth) {
  await using server = await startServer();
  await runClient(server.address);
} else if (values.server) {
  const server = await startServer();
  process.once('SIGINT', () => void server.close());
} else await runClient(values.address);
