/** An internal option of connect(): the client is the connection of a consumer to a node. */
import type { SharedMeters } from './metrics/statistics.js';

/**
 * The key of the option. The consumer runs the interceptors once for each call, before its
 * attempts. So invoke() and stub() of a client with this option run none. The calls that the client
 * serves, and those of `context.channel`, run through them as in every client.
 */
export const CONSUMER_CONNECTION = Symbol('connection of a consumer');

export interface ConsumerConnection {
  /** All connections of the consumer count into these. */
  readonly meters: SharedMeters;
}
