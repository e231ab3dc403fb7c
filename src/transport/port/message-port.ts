/** Listens to the events of a message port or a worker, of Node.js or of a browser. */
import { markHandled } from '../../core/callbacks.js';
import { guarded } from '../../core/guard.js';
import type { MessageEndpoint } from '../types.js';

/** A port of a MessageChannel. Node.js and browsers have this class. */
export interface ChannelPort extends MessageEndpoint {
  postMessage(message: unknown, transfer?: readonly unknown[]): void;
  close(): void;
}

type EventType = 'message' | 'messageerror' | 'close' | 'exit' | 'error';
type Handler = (data: unknown) => void;

/** The methods of Node.js, whose handlers get the message itself. */
interface NodeEvents {
  on(type: EventType, handler: Handler): unknown;
  off(type: EventType, handler: Handler): unknown;
}

interface PageEvent {
  readonly data?: unknown;
  readonly message?: unknown;
  readonly ports?: readonly ChannelPort[];
}

type PageHandler = (event: PageEvent) => void;

/** The methods of a browser, whose handlers get an event. */
interface PageEvents {
  addEventListener(type: EventType, handler: PageHandler): void;
  removeEventListener(type: EventType, handler: PageHandler): void;
  start?(): void;
}

type AnyPort = Partial<ChannelPort & PageEvents & NodeEvents> & { readonly window?: unknown };

/**
 * Whether `port` has the methods that this package uses. False for a window: its messages need the
 * origin of the receiver, and anyone may send to it.
 */
export function isMessageEndpoint(port: unknown): port is MessageEndpoint {
  if (typeof port !== 'object' || port === null) return false;
  try {
    const { window, postMessage, addEventListener, on } = port as AnyPort;
    return (
      window !== port &&
      typeof postMessage === 'function' &&
      (typeof on === 'function' || typeof addEventListener === 'function')
    );
  } catch {
    // A window of another origin throws.
    return false;
  }
}

/** Whether `port` is an object of Node.js. */
export function isOfNode(port: object): boolean {
  return typeof (port as Partial<NodeEvents>).on === 'function';
}

/**
 * Calls `handler` for each event with its message. In a browser 'error' has the text of the error.
 * Returns the function that stops it, which never throws. `handler` must not throw. Throws what a
 * port of the program throws.
 */
export function listen(port: object, type: EventType, handler: Handler): () => void {
  if (isOfNode(port)) {
    const events = port as NodeEvents;
    markHandled([events.on(type, handler)]);
    return quietly(() => events.off(type, handler));
  }
  return listenToEvents(port as PageEvents, type, ({ data, message }) =>
    handler(type === 'error' ? message : data),
  );
}

/**
 * As listen() for 'message'. `handler` also gets the ports that were transferred with a message: a
 * port that is not a part of the message stays open until it is closed. Undefined in Node.js, where
 * an event with its ports takes as long as the rest of a small message.
 */
export function listenWithPorts(
  port: ChannelPort,
  handler: (data: unknown, ports: readonly ChannelPort[] | undefined) => void,
): () => void {
  if (isOfNode(port)) return listen(port, 'message', (data) => handler(data, undefined));
  return listenToEvents(port as unknown as PageEvents, 'message', ({ data, ports }) =>
    handler(data, ports),
  );
}

function listenToEvents(events: PageEvents, type: EventType, onEvent: PageHandler): () => void {
  markHandled([events.addEventListener(type, onEvent)]);
  // A port keeps its messages until start().
  if (type === 'message') events.start?.();
  return quietly(() => events.removeEventListener(type, onEvent));
}

/** Throws what the port throws. A rejection of a promise that it returns is ignored. */
export function post(port: object, message: unknown, transfer?: readonly unknown[]): void {
  markHandled([(port as ChannelPort).postMessage(message, transfer)]);
}

/** A port of the program whose methods fail cannot be told more: the error is ignored. */
export function quietly(handle: () => unknown): () => void {
  return guarded(
    () => markHandled([handle()]),
    () => {},
  );
}
