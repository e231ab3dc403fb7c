/** Listens to the events of a message port or a worker, of Node.js or of a browser. */
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

type PageHandler = (event: { readonly data?: unknown; readonly message?: unknown }) => void;

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
 * Returns the function that stops it. `handler` must not throw.
 */
export function listen(port: object, type: EventType, handler: Handler): () => void {
  if (isOfNode(port)) {
    const events = port as NodeEvents;
    events.on(type, handler);
    return () => void events.off(type, handler);
  }
  const events = port as PageEvents;
  const onEvent: PageHandler = ({ data, message }) => handler(type === 'error' ? message : data);
  events.addEventListener(type, onEvent);
  // A port of a browser keeps its messages until start().
  if (type === 'message') events.start?.();
  return () => events.removeEventListener(type, onEvent);
}
