/** How many objects a message holds, told by the codec that has decoded it. */

/** The codec does not tell. */
export const UNKNOWN = -1;

/**
 * Of the last message. One object for all messages, because a result object would be an allocation
 * for each.
 */
export const decoded = { objects: UNKNOWN };
