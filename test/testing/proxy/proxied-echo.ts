/** An echo behind a proxy. */
import { type ProxyFaults, proxy } from '../../../src/testing/index.js';
import {
  type ClientOptions,
  connect,
  lines,
  type ServerOptions,
  serve,
} from '../../../src/transport/index.js';
import { Recorder } from '../../fixtures/recorder.js';

export const TCP = 'tcp://127.0.0.1:0';
export const UDP = 'udp://127.0.0.1:0';

/** A server that sends each line back, a proxy to it, and a client with one session. */
export async function proxiedEcho(
  faults: ProxyFaults = {},
  address = TCP,
  serverOptions: ServerOptions = {},
  clientOptions: ClientOptions = {},
  seed?: number,
) {
  const served = new Recorder<string>('the server', {
    onMessage: (session, line) => session.write(line),
  });
  const received = new Recorder<string>('the client');
  const server = await serve(address, { codec: lines(), listener: served }, serverOptions);
  const network = await proxy(server.address, faults, { seed });
  const client = await connect(
    network.address,
    { codec: lines(), listener: received },
    { reconnect: false, ...clientOptions },
  );
  // The proxy accepts a connection before the server does.
  if (address !== UDP) await served.opened.next();
  return {
    server,
    served,
    received,
    network,
    session: await client.session(),
    client,
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      await network.close();
    },
  };
}
