/** Parses the address of a child process, of this process as a child, or of two streams. */
import { Readable, Writable } from 'node:stream';
import { isInstance } from '../../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../../core/options.js';
import { type Address, checkName } from '../address.js';
import type { ProcessWithStdio, StdioAddress, StreamPair } from '../types.js';

const NAMES = { stdio: true, name: true } satisfies NamesOf<StdioAddress>;
const EXPECTED =
  'a ChildProcess whose stdin and stdout are pipes, process whose stdin is no terminal, or { input, output }';

/** The streams of one side. */
export interface StdioStreams {
  readonly input: Readable;
  readonly output: Writable;
  /** The process at the other side. Undefined: this process is the child, or it is not known. */
  readonly child: ChildProcessLike | undefined;
}

/** The part of a ChildProcess that this package uses. */
export interface ChildProcessLike {
  readonly pid?: number | undefined;
  readonly exitCode: number | null;
  readonly signalCode: string | null;
  on(type: 'exit', listener: () => void): unknown;
  off(type: 'exit', listener: () => void): unknown;
}

/** The numbers of pairs of streams. */
const numbers = new WeakMap<object, number>();
let lastNumber = 0;

/** `of`: the function that the address is given to. Throws BAD_OPTION. */
export function parseStdioAddress(given: StdioAddress, of: 'serve()' | 'connect()'): Address {
  checkNames(`the address of ${of}`, given, NAMES);
  const { stdio, name } = given;
  checkName(name);
  const { input, child } = stdioStreams(stdio);
  const isServer = of === 'serve()';
  const isProcess = name === undefined && (child !== undefined || stdio === process);
  const [localAddress, remoteAddress] = isProcess
    ? [`stdio://${process.pid}`, `stdio://${child === undefined ? process.ppid : (child.pid ?? 0)}`]
    : namedAddresses(name ?? `pair-${numberOf(input)}`, isServer);
  return {
    scheme: 'stdio',
    host: '',
    port: 0,
    path: '',
    // The address of both sides is that of the server.
    text: isServer ? localAddress : remoteAddress,
    stdio: { given: stdio, localAddress, remoteAddress },
  };
}

function namedAddresses(name: string, isServer: boolean): [local: string, remote: string] {
  const server = `stdio://${name}`;
  return isServer ? [server, `${server}/client`] : [`${server}/client`, server];
}

function numberOf(input: object): number {
  const number = numbers.get(input) ?? ++lastNumber;
  numbers.set(input, number);
  return number;
}

/** Throws BAD_OPTION. */
export function stdioStreams(stdio: ProcessWithStdio | StreamPair): StdioStreams {
  if (typeof stdio !== 'object' || stdio === null) throw badOption('stdio', stdio, EXPECTED);
  if (stdio === process) {
    const { stdin, stdout } = process;
    if (stdin.isTTY) throw badOption('stdio', stdio, EXPECTED);
    return streamsOfBytes({ input: stdin, output: stdout, child: undefined });
  }
  const { input, output } = stdio as Partial<StreamPair>;
  if (input !== undefined || output !== undefined) {
    if (!isInstance(input, Readable)) throw badOption('stdio.input', input, 'a Readable');
    if (!isInstance(output, Writable)) throw badOption('stdio.output', output, 'a Writable');
    return streamsOfBytes({ input, output, child: undefined });
  }
  const { stdin, stdout } = stdio as ProcessWithStdio;
  const { on } = stdio as Partial<ChildProcessLike>;
  if (!isInstance(stdin, Writable) || !isInstance(stdout, Readable) || typeof on !== 'function')
    throw badOption('stdio', stdio, EXPECTED);
  const child = stdio as unknown as ChildProcessLike;
  return streamsOfBytes({ input: stdout, output: stdin, child });
}

/** Throws BAD_OPTION for streams of texts or objects. */
function streamsOfBytes(streams: StdioStreams): StdioStreams {
  const { input, output } = streams;
  if (input.readableObjectMode || input.readableEncoding !== null)
    throw badOption('the input of stdio', input, 'a Readable of bytes, without an encoding');
  if (output.writableObjectMode)
    throw badOption('the output of stdio', output, 'a Writable of bytes');
  return streams;
}
