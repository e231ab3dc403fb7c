/** The options of consume(). */
import { refusePromise } from '../core/callbacks.js';
import { gettyError } from '../core/errors.js';
import { type Logger, SILENT } from '../core/logger.js';
import { badOption, checkObject, type NamesOf, pickNames, withDefaults } from '../core/options.js';
import { LONGEST_TIMER } from '../core/timers.js';
import { checkConnectionOptions } from '../rpc/consumer-connection.js';
import {
  type Interceptor,
  type Invoke,
  RPC_DEFAULTS,
  type RpcClientOptions,
} from '../rpc/index.js';
import { wrapUserInvoke } from '../rpc/interceptor-chain.js';
import { checkRpcClientNames, RPC_CLIENT_OPTION_NAMES } from '../rpc/option-names.js';
import * as balancers from './balancers/index.js';
import { makePicker } from './balancers/make-picker.js';
import { checkRegistry } from './check-registry.js';
import { checkGroup } from './entry-attributes.js';
import { type EjectionOptions, resolveEjection } from './nodes/node-health.js';
import type { PoolSettings } from './nodes/node-pool.js';
import { checkSubset, type SubsetOptions } from './nodes/subset.js';
import { broadcast } from './strategies/broadcast.js';
import { failfast, failover } from './strategies/failover.js';
import { fork } from './strategies/fork.js';
import { hedge } from './strategies/hedge.js';
import type { Attempt, Balancer, NodeAccess, Picker, Registry, Strategy } from './types.js';

/**
 * Options of consume(). The rpc options are those of the connection to each node. An interceptor
 * runs once for each call, before its attempts. The calls of providers to `services` run through
 * the interceptors too, as calls to the services of connect() do.
 */
export interface ConsumeOptions
  extends Omit<RpcClientOptions, 'signal' | 'onReady' | 'onResponsive'> {
  /** Lists the nodes. The consumer does not dispose it. */
  registry: Registry;
  /** The group of the providers that are called. Default: any group. */
  group?: string | undefined;
  /** Picks the node of each attempt. Default: roundRobin(). */
  balancer?: Balancer | undefined;
  /** Decides about further attempts after one that fails or is slow. Default: failover(). */
  strategy?: Strategy | undefined;
  /**
   * When nodes whose calls fail receive no calls, and for how long; false: never. Default: for 1 s
   * after 5 failed calls in a row, see EjectionOptions.
   */
  ejection?: EjectionOptions | false | undefined;
  /**
   * Milliseconds in which a new node reaches its full share of the calls, from a twentieth of it.
   * Default: 0, the full share at once.
   */
  slowStart?: number | undefined;
  /**
   * Milliseconds without a call after which the connections to a node are closed; it may take a
   * quarter longer. The next call dials again. 0: never. Default: 600,000, or 0 with `services`,
   * which a provider may call at any time.
   */
  idleTimeout?: number | undefined;
  /**
   * The consumer uses a part of the nodes only: for fleets in which connections of all consumers to
   * all nodes would be too many. Default: all nodes.
   */
  subset?: SubsetOptions | undefined;
}

const {
  signal: _signal,
  onReady: _onReady,
  onResponsive: _onResponsive,
  ...CONNECTION_NAMES
} = RPC_CLIENT_OPTION_NAMES;
const NAMES = {
  registry: true,
  group: true,
  balancer: true,
  strategy: true,
  ejection: true,
  slowStart: true,
  idleTimeout: true,
  subset: true,
} satisfies NamesOf<Omit<ConsumeOptions, keyof typeof CONNECTION_NAMES>>;

/** Defaults of ConsumeOptions, in milliseconds. */
export const CONSUME_DEFAULTS = {
  slowStart: 0,
  idleTimeout: 600_000,
} satisfies Partial<ConsumeOptions>;

/** The options of a consumer, checked and with defaults. */
export interface ConsumerSettings {
  readonly registry: Registry;
  readonly group: string | undefined;
  /** Makes the picker of one service. Throws what the balancer throws, and BAD_OPTION. */
  readonly newPicker: () => Picker;
  readonly strategy: Strategy;
  readonly interceptors: readonly Interceptor[];
  readonly logger: Logger;
  /** The default timeout of a call, in milliseconds. */
  readonly timeout: number;
  /** In milliseconds. 0: connections are never closed for lack of calls. */
  readonly idleTimeout: number;
  readonly pool: PoolSettings;
  /** The options of the connection to each node. */
  readonly connection: RpcClientOptions;
}

/** Checks the options and adds the defaults. Throws BAD_OPTION. */
export function resolveConsumeOptions(options: ConsumeOptions): ConsumerSettings {
  checkObject('options of consume()', options);
  checkRpcClientNames(options, 'consume()', NAMES, CONNECTION_NAMES);
  const {
    registry,
    group,
    balancer = balancers.roundRobin(),
    strategy = failover(),
    interceptors = [],
    logger = SILENT,
    timeout = RPC_DEFAULTS.timeout,
    services = [],
    subset,
  } = options;
  checkRegistry(registry, 'watch');
  refuseUncalled('balancer', balancer, Object.values(balancers));
  if (typeof balancer !== 'function')
    throw badOption('balancer', balancer, 'a balancer, such as roundRobin()');
  refuseUncalled('strategy', strategy, [failfast, failover, hedge, broadcast, fork]);
  if (typeof strategy !== 'function')
    throw badOption('strategy', strategy, 'a strategy, such as failover()');
  if (group !== undefined) checkGroup(group);
  const { slowStart, idleTimeout } = withDefaults(CONSUME_DEFAULTS, options, {
    slowStart: [0, LONGEST_TIMER],
    idleTimeout: [0, LONGEST_TIMER],
  });
  if (subset !== undefined) checkSubset(subset);
  const connection = pickNames(options, CONNECTION_NAMES);
  checkConnectionOptions(connection);
  return {
    registry,
    group,
    newPicker: pickerFactory(balancer),
    strategy,
    interceptors,
    logger,
    timeout,
    // A provider may call the offered services at any time.
    idleTimeout: services.length > 0 ? (options.idleTimeout ?? 0) : idleTimeout,
    pool: {
      slowStart,
      ejection: resolveEjection(options.ejection),
      subset: subset && { ...subset },
    },
    connection,
  };
}

/** Throws BAD_OPTION if `given` is one of `makers`, where its result is expected. */
function refuseUncalled(name: string, given: unknown, makers: readonly { name: string }[]): void {
  const maker = makers.find((other) => other === given);
  if (maker !== undefined)
    throw gettyError(
      'BAD_OPTION',
      `${name}: got the function ${maker.name}, expected its result: ${maker.name}()`,
    );
}

/** Makes the first picker at once, so that consume() throws for a wrong balancer. */
function pickerFactory(balancer: Balancer): () => Picker {
  let first: Picker | undefined = makePicker(balancer);
  return () => {
    const picker = first ?? makePicker(balancer);
    first = undefined;
    return picker;
  };
}

/** Throws what `strategy` throws, and BAD_OPTION when it returns no function. */
export function startStrategy(strategy: Strategy, attempt: Attempt, nodes: NodeAccess): Invoke {
  const invoke = strategy(attempt, nodes);
  if (typeof invoke === 'function') return wrapUserInvoke(invoke);
  refusePromise('BAD_OPTION', 'the strategy', invoke);
  throw badOption('the result of strategy()', invoke, 'a function that makes a call');
}
