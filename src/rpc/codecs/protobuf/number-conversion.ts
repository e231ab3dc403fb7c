/**
 * Eight shared bytes that convert numbers: the cheapest way between a bigint and its 32-bit halves,
 * or a float and its bytes.
 */
const eight = new ArrayBuffer(8);
export const signed64 = new BigInt64Array(eight);
export const unsigned64 = new BigUint64Array(eight);
export const halves = new Int32Array(eight);
export const octets = new Uint8Array(eight);
export const scratch = new DataView(eight);

signed64[0] = 1n;
/**
 * The indices of the low and the high half of a 64-bit integer in `halves`. They depend on the byte
 * order of the processor.
 */
export const LOW = halves[0] === 1 ? 0 : 1;
export const HIGH = 1 - LOW;
