/** Balancers. A self-defined one is a function that makes a picker: `() => (nodes) => node`. */
export { consistentHash } from './consistent-hash.js';
export { leastActive } from './least-active.js';
export { p2cEwma } from './p2c-ewma.js';
export { type RandomOptions, random } from './random.js';
export { roundRobin } from './round-robin.js';
export { weighted } from './weighted.js';
export { type ZoneFirstOptions, zoneFirst } from './zone-first.js';
