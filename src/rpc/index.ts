/** The rpc layer: contracts, stubs and services over one session, in both directions. */
export { JWT_DEFAULTS, type JwtKeys, type JwtOptions, jwt } from './jwt.js';
export { connect, serve } from './node.js';
export * from './portable.js';
