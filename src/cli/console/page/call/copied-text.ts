/** A call as a program, and as a command line. Both read the token from GETTY_TOKEN. */
import type { CallRequest } from '../../types.js';

export interface CopiedCall {
  /** The address of the node. */
  readonly address: string;
  readonly request: CallRequest;
  /** The argument as JSON; empty: none. */
  readonly argument: string;
}

const quote = (text: string): string => JSON.stringify(text);
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

/** A program that makes the call. */
export function asTypeScript({ address, request, argument }: CopiedCall): string {
  const { service, version, method, kind, token } = request;
  const hasToken = token !== undefined && token !== '';
  const types = kind === 'oneway' || kind === 'noReply' ? 'unknown' : 'unknown, unknown';
  const name = IDENTIFIER.test(method) ? method : quote(method);
  const access = IDENTIFIER.test(method) ? `.${method}` : `[${quote(method)}]`;
  const call = `client.stub(Service)${access}(${argumentsText(request, argument)})`;
  const versionPart = version === '' ? '' : `, { version: ${quote(version)} }`;
  // The function that declares a method has the name of its kind.
  const imports = [...(hasToken ? ['bearer'] : []), 'connect', 'contract', kind].join(', ');
  const options = hasToken ? `, { interceptors: [bearer(process.env.GETTY_TOKEN ?? '')] }` : '';
  return [
    `import { ${imports} } from 'getty-ts/rpc';`,
    '',
    `const Service = contract(${quote(service)}, { ${name}: ${kind}<${types}>() }${versionPart});`,
    `const client = await connect(${quote(address)}${options});`,
    kind === 'serverStream' || kind === 'duplex'
      ? `for await (const reply of ${call}) console.log(reply);`
      : `console.log(await ${call});`,
    'await client.close();',
    '',
  ].join('\n');
}

/** The arguments of the function of the stub: what is sent, and options if there are any. */
function argumentsText({ kind, metadata, timeout }: CallRequest, argument: string): string {
  const input = argument.trim() === '' ? '' : inLine(argument);
  const isClientStream = kind === 'clientStream' || kind === 'duplex';
  const options = [
    ...(Object.keys(metadata).length > 0 ? [`metadata: ${JSON.stringify(metadata)}`] : []),
    ...(timeout === undefined ? [] : [`timeout: ${timeout}`]),
  ];
  const parts = [isClientStream ? `[${input}]` : input || 'undefined'];
  if (options.length > 0) parts.push(`{ ${options.join(', ')} }`);
  return parts.join(', ');
}

/** For a POSIX shell. */
export function asCommand({ address, request, argument }: CopiedCall): string {
  const { service, version, method, kind, metadata, timeout } = request;
  const words = ['getty', 'call', address, `${service}/${method}`];
  const json = argument.trim() === '' ? '' : inLine(argument);
  if (json !== '') words.push(json);
  words.push('--kind', kind);
  if (version !== '') words.push('--service-version', version);
  if (timeout !== undefined) words.push('--timeout', `${timeout}ms`);
  for (const [key, value] of Object.entries(metadata)) words.push('--meta', `${key}=${value}`);
  return words.map(shellWord).join(' ');
}

/** JSON on one line; a text that is no JSON stays as it is. */
function inLine(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json));
  } catch {
    return json.trim();
  }
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
