/** A client at a message port that sends the messages of a test. */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Inbox } from '../../fixtures/waiting.js';

export interface RawClient extends Disposable {
  /** This side of the channel of the session. */
  readonly port: MessagePort;
  /** What the server has sent at it. */
  readonly received: Inbox<unknown>;
}

/** Sends `connect` to the server at the other end of `base`. */
export function knock(base: MessagePort, client = 1): RawClient {
  const { port1, port2 } = new MessageChannel();
  const received = new Inbox<unknown>('a message of the session');
  port1.on('message', (message) => received.push(message));
  base.postMessage({ getty: 'connect', client, port: port2 }, [port2]);
  return { port: port1, received, [Symbol.dispose]: () => port1.close() };
}

/** Opens a session with the server at the other end of `base`. */
export async function openRaw(base: MessagePort, client = 1): Promise<RawClient> {
  const raw = knock(base, client);
  const answer = await raw.received.next();
  if (answer !== 'accept') throw new Error(`the server answered ${String(answer)}`);
  raw.port.postMessage('open');
  return raw;
}
