/**
 * The micro layer: services that publish themselves, consumers that find them and balance over
 * them.
 */

export type { RetryBudgetOptions } from '../rpc/index.js';
export {
  consistentHash,
  leastActive,
  p2cEwma,
  type RandomOptions,
  random,
  roundRobin,
  weighted,
} from './balancers/index.js';
export {
  CONSUME_DEFAULTS,
  type ConsumeOptions,
  type Consumer,
  type ContractName,
  consume,
} from './consumer.js';
export type { ExplainedNode, Explanation } from './explain.js';
export { EJECTION_DEFAULTS, type EjectionOptions } from './nodes/health.js';
export { type ProvideOptions, type Provider, type ProviderUpdate, provide } from './provider.js';
export { META_KEY, WEIGHT_KEY } from './registry-entry.js';
export { type ChangeListener, Resolver, type ResolverOptions } from './resolver.js';
export { compareSnapshots, type SnapshotChange } from './snapshots.js';
export type { ConsumerStatistics, NodeCounts } from './statistics.js';
export { HEDGE_DEFAULTS, type HedgeOptions, hedge } from './strategies/hedge.js';
export {
  FAILOVER_DEFAULTS,
  type FailoverOptions,
  failfast,
  failover,
} from './strategies/strategies.js';
export type {
  Attempt,
  Balancer,
  NodeLoad,
  Picker,
  PublicationListener,
  Registry,
  ServiceNode,
  ServiceQuery,
  Strategy,
} from './types.js';
