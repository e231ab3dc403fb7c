/** A running `getty proxy` and what it has written. */
import type { TrafficRecord } from '../../../src/cli/proxy/traffic-record.js';
import { until } from '../../fixtures/waiting.js';
import { finished, type RunningCommand, startGetty } from '../run-getty.js';

type Shown = TrafficRecord & { readonly [other: string]: unknown };

export interface RunningProxy extends AsyncDisposable {
  /** What clients connect to. */
  readonly address: string;
  readonly command: RunningCommand;
  /** With --json: all records so far. */
  records(): Shown[];
  /** Waits for a record that has these values, and returns the first one. */
  record(values: Partial<Shown>): Promise<Shown>;
  /** Ctrl-C. Resolves with the exit code. */
  stop(): Promise<number>;
}

/** `args`: without `--json`, which is added unless `isText`. */
export async function startProxyCommand(
  args: readonly string[],
  isText = false,
): Promise<RunningProxy> {
  const command = startGetty(['proxy', ...args, ...(isText ? [] : ['--json'])]);
  const line = await command.errors.next();
  const address = isText
    ? line.replace('listening at ', '')
    : (JSON.parse(line) as { listening: string }).listening;
  const records = (): Shown[] => command.lines.all.map((text) => JSON.parse(text));
  const stop = async (): Promise<number> => {
    command.interrupt();
    return (await finished(command)).code;
  };
  return {
    address,
    command,
    records,
    async record(values) {
      const find = (): Shown | undefined =>
        records().find((one) => Object.entries(values).every(([name, is]) => one[name] === is));
      await until(
        () => find() !== undefined,
        () => `a record with ${JSON.stringify(values)}; so far: ${command.stdout.text}`,
      );
      return find() as Shown;
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}
