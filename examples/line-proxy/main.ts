/**
 * A proxy for a protocol of lines. It prints the lines, and slows down the faster side to the speed
 * of the slower one.
 *
 *   npm run example -- line-proxy --listen tcp://127.0.0.1:9000 --to tcp://127.0.0.1:8848
 */
import { parseArgs } from 'node:util';
import { type Client, connect, lines, type Session, serve } from 'getty-ts';

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: 'tcp://127.0.0.1:9000' },
    to: { type: 'string', default: 'tcp://127.0.0.1:8848' },
    quiet: { type: 'boolean', default: false },
  },
});

/** Forwards a line. While the queue of the receiver is full, the sender is not read. */
function forward(arrow: string, line: string, from: Session<string>, to: Session<string>): void {
  if (!values.quiet) console.log(`${from.remoteAddress} ${arrow} ${line}`);
  if (to.closed || to.write(line)) return;
  from.pause();
  to.drained().then(
    () => from.resume(),
    () => from.close(),
  );
}

const backends = new WeakMap<
  Session<string>,
  { client: Client<string>; session: Session<string> }
>();

const server = await serve(values.listen, {
  codec: lines(),
  listener: {
    // The caller's lines wait for this connection. If it fails, the caller is refused.
    async onOpen(front) {
      const client = await connect(
        values.to,
        {
          codec: lines(),
          listener: {
            onMessage: (back, line) => forward('<-', line, back, front),
            onClose: () => void front.close(),
          },
        },
        { reconnect: false },
      );
      backends.set(front, { client, session: await client.session() });
    },
    onMessage(front, line) {
      const backend = backends.get(front);
      if (backend !== undefined) forward('->', line, front, backend.session);
    },
    onClose: (front) => void backends.get(front)?.client.close(),
    onError: (front, error) => console.error(`${front.remoteAddress}: ${error.message}`),
  },
});
console.log(`proxy at ${server.address} to ${values.to}`);
process.once('SIGINT', () => void server.close());
