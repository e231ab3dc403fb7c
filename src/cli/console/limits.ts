/** Limits that the page and the process have in common. */

/** The most points of a history: one each second, for 15 minutes. */
export const MAX_POINTS = 900;
/** The most events; the oldest ones are dropped. */
export const MAX_EVENTS = 1_000;
/** The largest weight of a node. */
export const MAX_WEIGHT = 1_000_000;
/** Bytes of a message: the most nodes, with the most services each, are some MB. */
export const MAX_MESSAGE_BYTES = 2 ** 23;
