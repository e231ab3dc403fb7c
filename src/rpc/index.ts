/** The rpc layer: contracts, stubs and services over one session, in both directions. */
export { contract, type DescriptorOptions, type SpecsOf } from './contract/descriptor-contract.js';
export { JWT_DEFAULTS, type JwtKeys, type JwtOptions, jwt } from './interceptors/jwt.js';
export { connect, serve } from './node.js';
export * from './portable.js';
