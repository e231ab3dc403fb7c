/**
 * The messages of the transport over ports, and its limits.
 *
 * On the port of the program, the *base port*, an endpoint sends objects only: the other messages
 * there belong to the program. For each session the client makes a MessageChannel and sends one of
 * its ports in a `connect`. The server answers `accept` at that port, and the client `open`. Then
 * both sides send data, acknowledgements and their ends there.
 */
import type { ChannelPort } from './message-port.js';

/**
 * Bytes of credit. A side sends while fewer than this are not acknowledged, so a receiver that is
 * paused holds at most this and one message.
 */
export const WINDOW = 256 * 1024;
/** Bytes: the largest data message. */
export const MAX_DATA_BYTES = 64 * 1024;
/** Bytes that each data message counts besides its content, for the memory of small messages. */
export const MESSAGE_OVERHEAD = 256;

// ---- the base port ----

/** A client asks for a session. */
export interface ConnectMessage {
  readonly getty: 'connect';
  /** A number that is unique among the clients of the sender. */
  readonly client: number;
  /** The port of the session, which is transferred. */
  readonly port: ChannelPort;
}

/** A server has begun to listen: a client that has sent `connect` before must repeat it. */
export const LISTENING = { getty: 'listening' } as const;

function kindOf(message: unknown): unknown {
  if (typeof message !== 'object' || message === null) return undefined;
  try {
    return (message as { getty?: unknown }).getty;
  } catch {
    // A port of the program may pass on objects of the program.
    return undefined;
  }
}

export function isListening(message: unknown): boolean {
  return kindOf(message) === LISTENING.getty;
}

/** Messages are copies, so their properties have no getters. A copy has no methods but a port's. */
export function isConnect(message: unknown): message is ConnectMessage {
  if (kindOf(message) !== 'connect') return false;
  const { client, port } = message as { client?: unknown; port?: Partial<ChannelPort> | null };
  return (
    Number.isSafeInteger(client) &&
    (client as number) > 0 &&
    typeof port?.postMessage === 'function' &&
    typeof port.close === 'function'
  );
}

// ---- the port of a session ----

export const ACCEPT = 'accept';
/** A limit of the server is reached. */
export const REFUSE = 'refuse';
export const OPEN = 'open';
/** The sender sends no more data. */
export const END = 'end';
/** The sender has closed its port. */
export const CLOSE = 'close';
