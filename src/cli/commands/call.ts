/** `getty call`: calls one method, in JSON or with the descriptors of Protobuf. */
import { codeOf, messageOf } from '../../core/errors.js';
import type { CallOptions, Replies } from '../../rpc/index.js';
import { checkArgument, MessageLines, readMessage } from '../call/call-input.js';
import type { CallableMethod } from '../call/callable-method.js';
import { addCallOptions, type CalledMethodOptions, openCall } from '../call/open-call.js';
import { addJsonAndExamples, type DefineCommand, type JsonOption, outputOf } from '../command.js';
import { AdvisedError } from '../failure.js';
import type { Output } from '../output/output.js';
import { addConnectionOptions } from '../target/connection-options.js';
import { type ServerConnection, tellNode } from '../target/server-connection.js';
import type { Terminal } from '../terminal.js';

type CallCommandOptions = CalledMethodOptions & JsonOption;

const LOST =
  'the server ended the connection; a server of Go does so if it does not know the service or the ' +
  'method, or cannot read the argument';

/** What a call of one reply fails with if the server answers with a stream. */
const IS_STREAM = /^the peer answers .* with a stream; the contract has a single reply$/;
const STREAM = 'call it with --kind serverStream, or --kind duplex if it takes a stream too';

export const defineCall: DefineCommand = (program, terminal) => {
  const command = program
    .command('call')
    .summary('call a method, and write its reply as JSON')
    .description(
      'Call a method, and write its reply as JSON. Each reply of a stream is one line. A client\n' +
        'stream sends each line of standard input, or JSON as its only message.',
    )
    .argument('<target>', 'an address, or a registry, of which one node is called')
    .argument('<service/method>', 'such as Greeter/hello')
    .argument('[json]', 'the argument of the method; -: standard input');
  addCallOptions(command);
  addConnectionOptions(command);
  command.action(
    async (target: string, name: string, json: string | undefined, options: CallCommandOptions) => {
      const output = outputOf(terminal, options);
      checkArgument(json);
      const { connection, method } = await openCall(target, name, options, terminal, output);
      tellNode(connection, output);
      try {
        await call(connection, method, json, options, terminal, output);
        await connection.client.close();
      } finally {
        connection.client.destroy();
      }
    },
  );
  addJsonAndExamples(
    command,
    `getty call tcp://127.0.0.1:8849 Greeter/hello '"world"'`,
    `getty call file:///srv/getty/registry Greeter/hello '"world"' --timeout 2s --json`,
  );
};

type AnyMethod = (input: unknown, options: CallOptions) => Promise<unknown> | Replies<unknown>;

async function call(
  { client }: ServerConnection,
  method: CallableMethod,
  json: string | undefined,
  options: CallCommandOptions,
  terminal: Terminal,
  output: Output,
): Promise<void> {
  const stub = client.stub(method.contract, { codec: options.codec });
  const send = Reflect.get(stub, method.localName) as AnyMethod;
  const { kind } = method;
  const callOptions = {
    signal: terminal.signal,
    timeout: options.timeout,
    metadata: options.meta,
  };
  const isClientStream = kind === 'clientStream' || kind === 'duplex';
  const warn = (warning: string): void => output.notice(`warning: ${warning}`, { warning });
  const lines = new MessageLines(method, json, terminal, warn);
  const input = isClientStream ? lines : await readMessage(method, json, terminal, warn);
  try {
    const answer = send(input, callOptions);
    if (Symbol.asyncIterator in answer) {
      for await (const reply of answer) await output.jsonLine(method.decode(reply));
      return;
    }
    const reply = method.decode(await answer);
    if (kind === 'oneway') output.progress('sent; the server gives no answer');
    else if (kind === 'noReply' || (reply === undefined && !output.isJson))
      output.progress('done; the method has no reply');
    else await output.jsonValue(reply);
  } catch (error) {
    if (lines.failure !== undefined) throw lines.failure;
    const advice = adviceFor(error, client);
    throw advice === undefined ? error : new AdvisedError(error, advice);
  }
}

function adviceFor(error: unknown, client: ServerConnection['client']): string | undefined {
  const code = codeOf(error);
  if (code === 'UNAVAILABLE' && !isExtended(client)) return LOST;
  return code === 'INTERNAL' && IS_STREAM.test(messageOf(error)) ? STREAM : undefined;
}

/** Whether the server is known to run getty for TypeScript, which keeps the connection. */
function isExtended({ channels }: ServerConnection['client']): boolean {
  return [...channels].some(({ extended }) => extended === true);
}
