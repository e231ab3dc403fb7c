// @ts-check
/**
 * What the sides of the broadcast benchmark have in common. A peer is a WebSocket server. When it
 * receives a message, it sends as many messages to all sessions as the first byte says.
 */

/**
 * What the file of a peer exports: it listens on a free port of 127.0.0.1, and returns its address.
 * @typedef {{ serve: () => Promise<string> }} RoomPeer
 */

/** The payload of a broadcast message, in bytes. */
export const PAYLOAD = 100;
/** A frame of a server with this payload: two bytes of header, and no mask. */
export const FRAME = PAYLOAD + 2;
export const message = Buffer.alloc(PAYLOAD, 0x78);
