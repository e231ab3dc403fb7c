/** Rejects options that have no effect for the targets of a command. */
import { showUrl } from '../../core/redact.js';
import { UsageError } from '../failure.js';
import { type ConnectionOptions, isEncrypted } from './connection-options.js';

/** The options of all commands that only some targets use. */
export interface TargetOptions extends ConnectionOptions {
  readonly node?: string | undefined;
  readonly group?: string | undefined;
}

/** A Target, whose module imports this one. */
interface GivenTarget {
  readonly kind: 'address' | 'registry';
  readonly url: string;
}

type Flags = readonly (readonly [option: keyof TargetOptions, flag: string])[];

const CONNECTION: Flags = [
  ['timeout', '--timeout'],
  ['token', '--token'],
];
const TLS: Flags = [
  ['ca', '--ca'],
  ['cert', '--cert'],
  ['key', '--key'],
  ['serverName', '--server-name'],
];
const REGISTRY: Flags = [
  ['node', '--node'],
  ['group', '--group'],
];

/**
 * Throws UsageError for an option that none of `targets` uses. The nodes of a registry may be at
 * tls:// and wss://, so a registry uses all options. No targets: all that is read is files.
 */
export function checkOptions(targets: readonly GivenTarget[], options: TargetOptions): void {
  const [target] = targets;
  if (target === undefined)
    refuse([...CONNECTION, ...TLS], options, 'no target is given; this option is for a target');
  else if (targets.every(({ kind }) => kind === 'address')) {
    const shown = showUrl(target.url);
    refuse(REGISTRY, options, `the target is the address ${shown}; this option is for a registry`);
    if (!targets.some(({ url }) => isEncrypted(url)))
      refuse(TLS, options, `the target is ${shown}; this option is for tls:// and wss://`);
  }
  if (options.cert !== undefined && options.key === undefined)
    throw new UsageError('--cert: this option needs --key');
  if (options.key !== undefined && options.cert === undefined)
    throw new UsageError('--key: this option needs --cert');
}

function refuse(flags: Flags, options: TargetOptions, why: string): void {
  for (const [option, flag] of flags)
    if (options[option] !== undefined) throw new UsageError(`${flag}: ${why}`);
}
