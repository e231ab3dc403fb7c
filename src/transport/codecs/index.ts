/** Ready codecs. They keep no state, so one object can serve all sessions. */

export { delimiter } from './delimiter.js';
export { fixedLength } from './fixed-length.js';
export { type JsonLinesOptions, jsonLines } from './json-lines.js';
export { type LengthPrefixedOptions, lengthPrefixed } from './length-prefixed.js';
export { lines } from './lines.js';
export { mapCodec } from './map-codec.js';
export { raw } from './raw.js';
export { varintPrefixed } from './varint-prefixed.js';
