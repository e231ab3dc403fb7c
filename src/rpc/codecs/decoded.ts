/** The number of objects in the last decoded message, reported by its codec. */

/** The codec does not report the number. */
export const UNKNOWN = -1;

/** One object for all messages, because a result object would be an allocation per message. */
export const decoded = { objects: UNKNOWN };
