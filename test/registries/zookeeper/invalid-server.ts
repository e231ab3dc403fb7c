/** A ZooKeeper server that a test controls frame by frame, and a client of it. */
import { afterEach } from 'vitest';
import { JuteReader, JuteWriter } from '../../../src/registries/zookeeper/client/jute.js';
import {
  type ClientState,
  ZooKeeperClient,
  type ZooKeeperClientOptions,
} from '../../../src/registries/zookeeper/index.js';
import { lengthPrefixed, type Server, type Session, serve } from '../../../src/transport/index.js';

/** Answers one frame. `number` counts the frames of a connection from 0. */
export type Conversation = (
  session: Session<Buffer, Uint8Array>,
  frame: Buffer,
  number: number,
) => void;

export function frame(write: (to: JuteWriter) => void): Buffer {
  const to = new JuteWriter();
  write(to);
  return to.bytes;
}

/** The answer to the handshake. */
export function granted({ version = 0, timeout = 10_000, id = 1n, readOnly = false } = {}): Buffer {
  return frame((to) => {
    to.int(version);
    to.int(timeout);
    to.long(id);
    to.buffer(Buffer.alloc(16));
    to.bool(readOnly);
  });
}

/** The answer to the request `xid`. */
export function answer(xid: number, error = 0, body: (to: JuteWriter) => void = () => {}): Buffer {
  return frame((to) => {
    to.int(xid);
    to.long(5n);
    to.int(error);
    body(to);
  });
}

export const xidOf = (request: Buffer): number => new JuteReader(request).int();
export const NO_NODE = -101;
/** A valid server: it accepts the session and has no nodes. */
const valid: Conversation = (session, request, number) => {
  session.write(number === 0 ? granted() : answer(xidOf(request), NO_NODE));
};

/** The server of a test. */
let server: Server<Buffer, Uint8Array> | undefined;
/** The client of a test. */
let client: ZooKeeperClient | undefined;
/** The number of connections that the server has accepted. */
export let conversations = 0;
/** The states of the client. */
export let states: ClientState[] = [];

/** Closes the client and the server after each test. */
export function useInvalidServer(): void {
  afterEach(closeAll);
}

export async function closeAll(): Promise<void> {
  await client?.close();
  await closeServer();
}

/**
 * Opens a client of a server whose first conversations are `invalid`, and whose later ones are
 * valid.
 */
export async function openClient(
  invalid: Conversation,
  options: ZooKeeperClientOptions = {},
  invalidConversations = 1,
): Promise<ZooKeeperClient> {
  conversations = 0;
  states = [];
  server = await serve<Buffer, Uint8Array>('tcp://127.0.0.1:0', () => {
    const conversation = conversations++ < invalidConversations ? invalid : valid;
    let frames = 0;
    return {
      codec: lengthPrefixed({ width: 4 }),
      waitTime: 0,
      listener: { onMessage: (session, request) => conversation(session, request, frames++) },
    };
  });
  const onState = (state: ClientState): void => void states.push(state);
  client = new ZooKeeperClient(server.address.replace('tcp://', ''), {
    sessionTimeout: 4_000,
    initialDelay: 2,
    maxDelay: 20,
    ...options,
    onState,
  });
  return client;
}

export async function closeServer(): Promise<void> {
  await server?.close();
}
