/** The micro layer: providers publish services in a registry, and consumers find and call them. */

export type { RetryBudgetOptions } from '../rpc/index.js';
export {
  consistentHash,
  leastActive,
  p2cEwma,
  type RandomOptions,
  random,
  roundRobin,
  weighted,
  type ZoneFirstOptions,
  zoneFirst,
} from './balancers/index.js';
export { ZONE_FIRST_DEFAULTS } from './balancers/zone-first.js';
export { CONSUME_DEFAULTS, type ConsumeOptions } from './consume-options.js';
export { type Consumer, type ContractName, consume } from './consumer.js';
export type { ExplainedNode, Explanation } from './explanation.js';
export { EJECTION_DEFAULTS, type EjectionOptions } from './nodes/node-health.js';
export type { SubsetOptions } from './nodes/subset.js';
export type { ProvideOptions, ProviderUpdate } from './provide-options.js';
export { type Provider, provide } from './provider.js';
export { META_KEY, WEIGHT_KEY, ZONE_KEY } from './registry-entry.js';
export { type ChangeListener, Resolver, type ResolverOptions } from './resolver.js';
export { compareSnapshots, type SnapshotChange } from './snapshots.js';
export type { ConsumerStatistics, NodeCounts } from './statistics.js';
export {
  BROADCAST_DEFAULTS,
  type BroadcastStrategyOptions,
  broadcast,
  type NodeOutcome,
} from './strategies/broadcast.js';
export {
  FAILOVER_DEFAULTS,
  type FailoverOptions,
  failfast,
  failover,
} from './strategies/failover.js';
export { FORK_DEFAULTS, type ForkOptions, fork } from './strategies/fork.js';
export { HEDGE_DEFAULTS, type HedgeOptions, hedge } from './strategies/hedge.js';
export type {
  Attempt,
  AttemptStrategy,
  Balancer,
  NodeAccess,
  NodeLoad,
  NodeRegistration,
  Picker,
  PublicationListener,
  Registry,
  ServiceNode,
  ServiceQuery,
  Strategy,
} from './types.js';
