/** The first argument of most commands: the address of a server, or the URL of a registry. */
import { showUrl } from '../../core/redact.js';
import { UsageError } from '../failure.js';
import { checkOptions, type TargetOptions } from './unused-options.js';

export interface Target {
  readonly kind: 'address' | 'registry';
  readonly url: string;
}

// `memory://name` is an address, and `memory:name` a registry.
const REGISTRY = /^(?:file|etcds?|zookeeper|static|dns):|^memory:(?!\/\/)/;
/** `file://tmp/x` has the host `tmp`, as every URL. */
const FILE_WITH_HOST = /^file:\/\/(?!\/|localhost\/)/;
const ADDRESS = /^(?:tcp|tls|udp|ws|wss|unix|memory):\/\//;
const HOST_AND_PORT = /^(?:\[[^\s[\]]+\]|[^\s:/@?#]+):\d{1,5}$/;

/** Without the characters that separate a user, a query or a fragment, which may be secret. */
const PATH = /^\/[^@?#]*$/;

const ADDRESSES = 'an address such as tcp://host:port, wss://host:port/path or unix:///path';
const REGISTRIES =
  'a registry such as file:///directory, etcd://host:2379/root, zookeeper://host:2181/root, ' +
  'static:tcp://host:port or dns:host:port';

/** Whether a text is a target, and not the path of a file. */
export const isTarget = (text: string): boolean => REGISTRY.test(text) || ADDRESS.test(text);

/** Throws UsageError, also for options that the target does not use. */
export function parseTarget(text: string, options: TargetOptions): Target {
  const target = readTarget(text);
  checkOptions([target], options);
  return target;
}

/** Throws UsageError. The server or the registry checks the rest of the text. */
function readTarget(text: string): Target {
  if (FILE_WITH_HOST.test(text))
    throw new UsageError(
      `TARGET: got ${showUrl(text)}, expected three slashes before the directory, such as ` +
        'file:///directory',
    );
  if (REGISTRY.test(text)) return { kind: 'registry', url: text };
  if (ADDRESS.test(text)) return { kind: 'address', url: text };
  throw new UsageError(`TARGET: got ${showUrl(text)}, expected ${suggestion(text)}`);
}

/** Targets of one command, with options for all of them. Throws UsageError. */
export function parseTargets(texts: readonly string[], options: TargetOptions): Target[] {
  const targets = texts.map(readTarget);
  checkOptions(targets, options);
  return targets;
}

/** Throws UsageError. */
export function parseRegistry(text: string, options: TargetOptions = {}): string {
  const { kind, url } = readTarget(text);
  if (kind === 'address')
    throw new UsageError(`REGISTRY: got the address ${showUrl(text)}, expected ${REGISTRIES}`);
  checkOptions([{ kind, url }], options);
  return url;
}

/** Throws UsageError, also for options that the address does not use. */
export function parseAddress(text: string, options: TargetOptions): string {
  if (!isTarget(text) && !HOST_AND_PORT.test(text))
    throw new UsageError(`ADDRESS: got ${showUrl(text)}, expected ${ADDRESSES}`);
  const { kind, url } = parseTarget(text, options);
  if (kind === 'address') return url;
  throw new UsageError(
    `ADDRESS: got the registry ${showUrl(text)}, expected ${ADDRESSES}; \`getty ls\` shows the addresses`,
  );
}

function suggestion(text: string): string {
  if (HOST_AND_PORT.test(text)) return `a scheme; did you mean tcp://${text}?`;
  if (PATH.test(text)) return `a scheme; did you mean file://${text}?`;
  return `${ADDRESSES}, or ${REGISTRIES}`;
}
