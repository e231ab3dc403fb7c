/**
 * The second result of MessageCodec.decode(): the number of objects in the message that was decoded
 * last. The caller sets it to UNKNOWN before decode().
 */

/** The codec has not set the number. */
export const UNKNOWN = -1;

/** One object for all messages, because a result object would cost an allocation per message. */
export const decoded = { objects: UNKNOWN };
