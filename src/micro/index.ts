/** The micro layer: services that publish themselves, consumers that find them and balance over them. */

export type { RetryBudgetOptions } from '../rpc/index.js';
export { META_KEY } from './attributes.js';
export { random, roundRobin } from './balancers.js';
export { type ConsumeOptions, type Consumer, consume } from './consumer.js';
export { type ProvideOptions, type Provider, provide } from './provider.js';
export { Resolver, type ResolverOptions } from './resolver.js';
export { compareSnapshots, type SnapshotChange } from './snapshots.js';
export { type FailoverOptions, failfast, failover } from './strategies.js';
export type { Attempt, Balancer, Picker, Registry, ServiceNode, ServiceQuery, Strategy } from './types.js';
