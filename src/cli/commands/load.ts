/** `getty load`: calls a method at a rate, or so many times at once, and measures it. */
import { writeFileSync } from 'node:fs';
import { messageOf } from '../../core/errors.js';
import { startInterval } from '../../core/timers.js';
import type { RpcCode } from '../../rpc/index.js';
import { RpcError } from '../../rpc/index.js';
import { checkArgument } from '../call/call-input.js';
import { addCallOptions, type OpenCall, openCall } from '../call/open-call.js';
import {
  addJsonAndExamples,
  type DefineCommand,
  ExitCode,
  type JsonOption,
  outputOf,
} from '../command.js';
import { exitCodeOf, UsageError } from '../failure.js';
import { type FleetOptions, openFleet } from '../load/called-fleet.js';
import { codesText, reportLines, reportOf } from '../load/load-report.js';
import { LoadRun, type LoadShape } from '../load/load-run.js';
import { loadSvg } from '../load/load-svg.js';
import { parseDuration, parseInteger } from '../option-values.js';
import type { Output } from '../output/output.js';
import { printable } from '../output/printable.js';
import { addConnectionOptions } from '../target/connection-options.js';
import { tellNode } from '../target/server-connection.js';
import { parseTarget } from '../target/target.js';

interface LoadOptions extends FleetOptions, JsonOption {
  readonly rate?: number;
  readonly inFlight?: number;
  readonly for?: number;
  readonly svg?: string;
}

const DEFAULT_DURATION = 10_000;
/** Milliseconds between two lines of progress. */
const REPORT_PERIOD = 1_000;
const MAX_RATE = 1_000_000;
const MAX_IN_FLIGHT = 10_000;
const MAX_CONNECTIONS = 1_000;

export const defineLoad: DefineCommand = (program, terminal) => {
  const command = program
    .command('load')
    .summary('call a method many times, and measure it')
    .description(
      'Call a method for some time, and measure it. With --rate calls start at a constant rate, and\n' +
        'a late start is a part of the latency. With --in-flight the next call starts when one ends.\n' +
        'Latencies are those of calls that succeed. Of a registry all nodes are called, as a consumer\n' +
        'calls them. The exit code is the number of the most frequent code of failed calls.',
    )
    .argument('<target>', 'an address or a registry')
    .argument('<service/method>', 'such as Greeter/hello; no stream')
    .argument('[json]', 'the argument of the method')
    .option('--rate <number>', 'calls per second: an open load', (text: string) =>
      parseInteger('--rate', text, 1, MAX_RATE),
    )
    .option('--in-flight <number>', 'calls at the same time: a closed load', (text: string) =>
      parseInteger('--in-flight', text, 1, MAX_IN_FLIGHT),
    )
    .option('--for <duration>', 'how long (default: 10s)', (text: string) =>
      parseDuration('--for', text),
    );
  command.option('--svg <file>', 'write the histogram as a picture');
  command.option(
    '--connections <number>',
    'connections to each server (default: 1)',
    (text: string) => parseInteger('--connections', text, 1, MAX_CONNECTIONS),
  );
  addCallOptions(command);
  addConnectionOptions(command);
  command.action(
    async (text: string, name: string, json: string | undefined, options: LoadOptions) => {
      const output = outputOf(terminal, options);
      const shape = shapeOf(options);
      checkArgument(json);
      const opened = await openCall(text, name, options, terminal, output);
      if (options.node !== undefined) tellNode(opened.connection, output);
      else if (opened.connection.node !== undefined)
        output.progress(`all nodes of the registry that offer ${offerOf(opened)} are called`);
      try {
        await using fleet = await openFleet(
          parseTarget(text, options),
          opened,
          json,
          options,
          terminal,
          (warning) => output.notice(`warning: ${warning}`, { warning }),
        );
        // A node that is drained would wait for this session.
        opened.connection.client.destroy();
        const duration = options.for ?? DEFAULT_DURATION;
        const run = new LoadRun(() => fleet.call(), shape, duration, terminal.signal);
        const progress = startInterval(() => reportSecond(run, output), REPORT_PERIOD);
        try {
          await run.run();
        } finally {
          clearInterval(progress);
        }
        if (options.svg !== undefined) writePicture(options.svg, loadSvg(reportOf(run), name));
        await write(run, output);
      } finally {
        opened.connection.client.destroy();
      }
    },
  );
  addJsonAndExamples(
    command,
    `getty load tcp://127.0.0.1:8849 Greeter/hello '"world"' --rate 100 --for 1s`,
    `getty load file:///srv/getty/registry Greeter/hello '"world"' --in-flight 4 --for 1s --json`,
  );
};

/** The service that is called, in the version of the node that was asked. */
function offerOf({ method }: OpenCall): string {
  const { name, version } = method.contract;
  return printable(version === '' ? name : `${name} ${version}`);
}

function shapeOf({ rate, inFlight }: LoadOptions): LoadShape {
  if (rate !== undefined && inFlight === undefined) return { rate };
  if (inFlight !== undefined && rate === undefined) return { inFlight };
  const given = rate === undefined ? 'neither' : 'both';
  throw new UsageError(`--rate, --in-flight: got ${given}, expected one of them`);
}

/** Throws UsageError if the file cannot be written. */
function writePicture(file: string, picture: string): void {
  try {
    writeFileSync(file, picture);
  } catch (error) {
    throw new UsageError(`--svg: the file cannot be written: ${messageOf(error)}`);
  }
}

/** The calls that have ended in the last second; those in flight are of now. */
function reportSecond(run: LoadRun, output: Output): void {
  const { latency, failed } = run.takeSecond();
  const quantile = (share: number): string => `${latency.percentile(share).toFixed(2)} ms`;
  const latencies = latency.count === 0 ? '' : `p50 ${quantile(0.5)}  p99 ${quantile(0.99)}  `;
  output.progress(
    `last second: ${latency.count + failed} calls  failed ${failed}  ${latencies}` +
      `in flight now ${run.inFlight}`,
  );
}

/** Writes the report. Throws ExitCode if calls have failed. */
async function write(run: LoadRun, output: Output): Promise<void> {
  const report = reportOf(run);
  if (output.isJson) await output.jsonValue(report);
  else for (const line of reportLines(report, run.firstFailure)) await output.line(line);
  const [mostFrequent] = Object.keys(report.codes);
  if (mostFrequent !== undefined)
    throw new ExitCode(exitCodeOf(new RpcError(mostFrequent as RpcCode, codesText(report.codes))));
}
