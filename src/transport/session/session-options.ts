/** The options of a session: defaults and checks. */

import { checkCallback } from '../../core/callbacks.js';
import {
  badOption,
  checkMethods,
  checkNames,
  checkNumber,
  checkReadable,
  isArray,
  type Ranges,
  withDefaults,
} from '../../core/options.js';
import { LONGEST_TIMER } from '../../core/timers.js';
import { checkProtocolNames, checkSetupNames, EVENT_NAMES } from '../option-names.js';
import type {
  Codec,
  Compression,
  EventListener,
  ProtocolSetup,
  SessionOptions,
  SessionSetup,
  Setup,
  WebSocketOptions,
} from '../types.js';

const EVENTS = Object.keys(EVENT_NAMES) as (keyof typeof EVENT_NAMES)[];

/** Defaults of SessionOptions; times are in milliseconds, sizes in bytes. */
export const SESSION_DEFAULTS = {
  name: '',
  maxMessageBytes: 1024 * 1024,
  cronPeriod: 45_000,
  idleTimeout: 0,
  messageTimeout: 60_000,
  allowHalfOpen: false as boolean,
  waitTime: 3_000,
  highWaterMark: 256 * 1024,
  maxQueuedBytes: 16 * 1024 * 1024,
  maxHandling: 1024,
  maxInflatedBytes: 16 * 1024 * 1024,
} satisfies SessionOptions;

type Defaulted = typeof SESSION_DEFAULTS;
/** A setup whose missing options have their defaults. */
export type ResolvedSetup<In, Out> = SessionSetup<In, Out> &
  Defaulted & {
    compression: Compression;
    /** False: the default of the transport replaces `idleTimeout`. */
    isIdleTimeoutGiven: boolean;
  };

const RANGES: Ranges<Defaulted> = {
  maxMessageBytes: [1, 2 ** 31 - 1, 'integer'],
  cronPeriod: [1, LONGEST_TIMER],
  idleTimeout: [0, LONGEST_TIMER],
  messageTimeout: [0, LONGEST_TIMER],
  waitTime: [0, LONGEST_TIMER],
  highWaterMark: [1, Number.POSITIVE_INFINITY, 'integer'],
  maxQueuedBytes: [1, Number.POSITIVE_INFINITY, 'integer'],
  maxHandling: [1, Number.POSITIVE_INFINITY, 'integer'],
  maxInflatedBytes: [1, Number.POSITIVE_INFINITY, 'integer'],
};

/** Throws BAD_OPTION. */
export function resolveSetup<In, Out>(setup: SessionSetup<In, Out>): ResolvedSetup<In, Out> {
  checkSetup(setup);
  const { codec, listener, taskPool, compression = 'none' } = setup;
  checkProtocol(codec, listener);
  if (
    taskPool !== undefined &&
    (typeof taskPool?.run !== 'function' || typeof taskPool.room !== 'function')
  )
    throw badOption('taskPool', taskPool, 'what taskPool() returns');
  checkCompression(compression);
  // The spread comes last: see "One hidden class" in ARCHITECTURE.md.
  return {
    codec,
    listener,
    taskPool,
    compression,
    rate: setup.rate,
    isIdleTimeoutGiven: setup.idleTimeout !== undefined,
    ...withDefaults(SESSION_DEFAULTS, setup, RANGES),
  };
}

/**
 * `setup` with the codec and the listener of Session.use(). Throws BAD_OPTION. The properties have
 * the same order as in resolveSetup(): see "One hidden class" in ARCHITECTURE.md.
 */
export function withProtocol<In, Out>(
  setup: ResolvedSetup<In, Out>,
  protocol: ProtocolSetup<In, Out>,
): ResolvedSetup<In, Out> {
  checkProtocolNames(protocol);
  if (protocol?.codec === undefined && protocol?.listener === undefined)
    throw badOption('protocol', protocol, 'an object with a codec, a listener or both');
  const { codec: former, listener: formerListener, taskPool, compression, ...others } = setup;
  const { codec = former, listener = formerListener } = protocol;
  checkProtocol(codec, listener);
  return { codec, listener, taskPool, compression, ...others };
}

function checkProtocol<In, Out>(codec: Codec<In, Out>, listener: EventListener<In, Out>): void {
  if (typeof codec?.read !== 'function' || typeof codec.write !== 'function')
    throw badOption('codec', codec, 'an object with read and write');
  if (typeof listener === 'object' && listener !== null) {
    checkReadable('listener', listener, EVENT_NAMES);
    checkMethods('the listener', listener, EVENT_NAMES);
  }
  if (typeof listener?.onMessage !== 'function')
    throw badOption('listener', listener, 'an object with onMessage');
  for (const name of EVENTS) checkCallback(`listener.${name}`, listener[name]);
}

/** Throws BAD_OPTION unless `setup` is an object that has no unknown names. */
function checkSetup(setup: object): void {
  if (typeof setup !== 'object' || setup === null || isArray(setup))
    throw badOption(
      'setup',
      setup,
      'an object with a codec and a listener, or a function that returns one',
    );
  checkSetupNames(setup);
}

/**
 * The options of a WebSocket, with the compression of the setup. Compression is negotiated in the
 * handshake, before a setup function is called. Throws BAD_OPTION.
 */
export function withCompression<In, Out>(
  options: WebSocketOptions | undefined,
  setup: Setup<In, Out>,
): WebSocketOptions | undefined {
  if (typeof setup === 'function') return options;
  checkSetup(setup);
  if (setup.compression === undefined) return options;
  return { compression: setup.compression, ...options };
}

/** Throws BAD_OPTION. */
export function checkCompression(compression: Compression): void {
  if (compression === 'none' || compression === 'deflate' || compression === 'snappy') return;
  if (typeof compression !== 'object' || compression === null) {
    throw badOption(
      'compression',
      compression,
      "'none', 'deflate', { deflate: level } or 'snappy'",
    );
  }
  checkNames('compression', compression, { deflate: true });
  checkNumber('compression.deflate', compression.deflate, -1, 9, 'integer');
}
