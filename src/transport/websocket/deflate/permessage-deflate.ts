/**
 * What all parts of permessage-deflate (RFC 7692) share.
 *
 * We compress each message by itself, without context takeover. So idle connections keep no memory
 * of zlib, and a message is compressed while it is written, without a queue. A server may use
 * context takeover: then the end of what it sent is the dictionary of its next message.
 */

/** As an exponent of two. */
export const MAX_WINDOW_BITS = 15;
/**
 * A compressed message ends with an empty stored block, of which the sender removes as many bytes:
 * its lengths (RFC 7692, section 7.2.1).
 */
export const REMOVED_BYTES = 4;
/** Units of spend() before and after a call of zlib. As many make it read the clock. */
export const ZLIB_UNITS = 64;
