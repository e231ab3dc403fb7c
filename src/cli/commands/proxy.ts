/** `getty proxy`: shows the frames that pass between two peers, and makes faults. */
import { followSignal } from '../../core/signals.js';
import { atMost } from '../../core/timers.js';
import { readDescriptorSet } from '../call/descriptor-set.js';
import { addJsonAndExamples, type DefineCommand, type JsonOption, outputOf } from '../command.js';
import { parseInteger } from '../option-values.js';
import type { Output } from '../output/output.js';
import { BodyView } from '../proxy/body-view.js';
import { addFaultOptions, type FaultOptions, faultsOf, seedOf } from '../proxy/fault-options.js';
import { clientAddress, type ProxyAddresses, proxyAddresses } from '../proxy/proxy-addresses.js';
import { RecordWriter } from '../proxy/record-writer.js';
import { TrafficObserver } from '../proxy/traffic-observer.js';
import { addTlsOptions, type TlsFileOptions, tlsOptions } from '../target/connection-options.js';
import { checkOptions } from '../target/unused-options.js';
import type { Terminal } from '../terminal.js';

interface ProxyCommandOptions extends FaultOptions, TlsFileOptions, JsonOption {
  readonly body?: boolean;
  readonly bodyLimit?: number;
  readonly proto?: string;
  readonly showSecrets?: boolean;
  readonly maxConnections?: number;
}

/** Characters. */
const DEFAULT_BODY = 400;
const MAX_BODY = 65_536;
const DEFAULT_CONNECTIONS = 256;
const MAX_CONNECTIONS = 10_000;
/** Milliseconds for the last records, at the end. */
const MAX_END = 1_000;

export const defineProxy: DefineCommand = (program, terminal) => {
  const command = program
    .command('proxy')
    .summary('show the frames between two peers, and make faults')
    .description(
      'Listen at an address, pass everything on to the target, and show each rpc frame that passes,\n' +
        'until Ctrl-C. → is to the target. Bytes are never changed. Most values of metadata, which may\n' +
        'be secrets, are hidden. Bodies are not shown without --body, --body-limit or --proto.',
    )
    .argument(
      '<listen>',
      'where clients connect: tcp://, unix://, udp:// or ws://; port 0: a free one',
    )
    .argument('<target>', 'the server: the same, or tls:// or wss://')
    .option('--body', 'show the bodies too, as JSON')
    .option(
      '--body-limit <number>',
      `show so many characters of each body (default: ${DEFAULT_BODY})`,
      (text: string) => parseInteger('--body-limit', text, 1, MAX_BODY),
    )
    .option('--proto <file>', 'show bodies, Protobuf too, with a descriptor set: `buf build -o`')
    .option('--show-secrets', 'show all metadata, and the secrets in it')
    .option(
      '--max-connections <number>',
      `refuse more open connections (default: ${DEFAULT_CONNECTIONS})`,
      (text: string) => parseInteger('--max-connections', text, 1, MAX_CONNECTIONS),
    );
  addFaultOptions(command);
  addTlsOptions(command);
  command.action(async (listen: string, target: string, options: ProxyCommandOptions) => {
    const addresses = proxyAddresses(listen, target);
    checkOptions([{ kind: 'address', url: target }], options);
    await runProxy(addresses, options, outputOf(terminal, options), terminal);
  });
  addJsonAndExamples(
    command,
    'getty proxy tcp://127.0.0.1:0 tcp://127.0.0.1:8849 --body',
    'getty proxy tcp://127.0.0.1:0 tcp://127.0.0.1:8849 --latency 50±10ms --bandwidth 100k --json',
  );
};

async function runProxy(
  addresses: ProxyAddresses,
  options: ProxyCommandOptions,
  output: Output,
  { signal }: Terminal,
): Promise<void> {
  const { framing } = addresses;
  const faults = faultsOf(options, framing);
  const showsBodies = options.body === true || options.proto !== undefined;
  const maxBody = options.bodyLimit ?? (showsBodies ? DEFAULT_BODY : 0);
  const registry = options.proto === undefined ? undefined : readDescriptorSet(options.proto);
  const writer = new RecordWriter(output, maxBody);
  const bodies = new BodyView(maxBody, registry);
  const settings = { framing, bodies, showsSecrets: options.showSecrets === true };
  const observer = new TrafficObserver(settings, writer);
  // The testing kit is loaded by this command only.
  const { startProxy } = await import('../../testing/proxy/index.js');
  const proxy = await startProxy(addresses.target, faults, {
    listen: addresses.listen,
    listenSchemes: addresses.listenSchemes,
    seed: seedOf(options),
    maxConnections: options.maxConnections ?? DEFAULT_CONNECTIONS,
    tls: addresses.isEncrypted ? tlsOptions(options) : undefined,
    observer,
  });
  try {
    const listening = clientAddress(addresses, proxy.boundAddress);
    output.notice(`listening at ${listening}`, { listening });
    await new Promise<void>((resolve) => {
      followSignal(signal, resolve);
      if (signal.aborted) resolve();
    });
  } finally {
    await proxy.close();
    // The reader of the output may have ended.
    await atMost(
      MAX_END,
      observer.end().then(() => writer.end()),
    );
  }
}
