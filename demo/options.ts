/** The options of the demo, read from its flags. */
import { parseFlags } from '#getty/cli/flags.js';

const REGISTRIES = 'file:///directory, etcd://host:2379/root or zookeeper://host:2181/root';
export const USAGE =
  'usage: npm start -- [--duration 15s] [--rate 2000] [--json] [--registry URL] [--console]';
export const HELP = `Starts three providers and a consumer as processes, kills one provider and starts it again. No call fails.
${USAGE}
  --duration  the least time to make calls, such as 15s or 2m; from 3s to 1440m; default: 15s, or
              90s with --console
  --rate      calls per second, from 1 to 1000000; default: 2000
  --json      print one JSON object at the end, and nothing else
  --registry  ${REGISTRIES}; default: a temporary directory
  --console   show the demo in the browser
  --help      print this text`;

export interface Options {
  /** Milliseconds. */
  duration: number;
  /** Calls per second. */
  rate: number;
  json: boolean;
  /** A URL. Undefined: a temporary directory. */
  registry: string | undefined;
  /** Whether `getty console` shows the providers. */
  console: boolean;
}

/** Undefined for --help. Throws an Error for a bad flag. */
export function readOptions(args: string[]): Options | undefined {
  const values = parseFlags(args, {
    duration: { type: 'string' },
    rate: { type: 'string', default: '2000' },
    json: { type: 'boolean', default: false },
    registry: { type: 'string' },
    console: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  });
  if (values.help) return undefined;
  const { duration: text = values.console ? '90s' : '15s' } = values;
  const [, amount, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? [];
  const duration = Number(amount) * { ms: 1, s: 1_000, m: 60_000 }[unit as 'ms' | 's' | 'm'];
  if (!(duration >= 3_000 && duration <= 86_400_000))
    throw new Error(`--duration: got ${text}, expected from 3s to 1440m`);
  const rate = Number(values.rate);
  if (!(rate >= 1 && rate <= 1_000_000))
    throw new Error(`--rate: got ${values.rate}, expected calls per second from 1 to 1000000`);
  if (values.registry?.startsWith('memory:'))
    throw new Error(
      `--registry: got memory:, which other processes do not see; expected ${REGISTRIES}`,
    );
  const { json, registry, console } = values;
  return { duration, rate, json, registry, console };
}
