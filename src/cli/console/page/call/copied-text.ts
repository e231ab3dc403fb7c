/** A call as a program, and as a command line. Neither contains a token. */
import type { CallRequest } from '../../types.js';

export interface CopiedCall {
  /** The address of the node. */
  readonly address: string;
  readonly request: CallRequest;
  /** The argument as JSON; empty: none. */
  readonly argument: string;
}

const FACTORIES = {
  unary: 'unary',
  oneway: 'oneway',
  noReply: 'noReply',
  serverStream: 'serverStream',
  clientStream: 'clientStream',
  duplex: 'duplex',
} as const;

const quote = (text: string): string => JSON.stringify(text);
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

export function asTypeScript({ address, request, argument }: CopiedCall): string {
  const { service, version, method, kind, metadata, timeout, token } = request;
  const factory = FACTORIES[kind];
  const hasToken = token !== undefined && token !== '';
  const isClientStream = kind === 'clientStream' || kind === 'duplex';
  const isServerStream = kind === 'serverStream' || kind === 'duplex';
  const types = kind === 'oneway' || kind === 'noReply' ? 'unknown' : 'unknown, unknown';
  const name = IDENTIFIER.test(method) ? method : quote(method);
  const access = IDENTIFIER.test(method) ? `.${method}` : `[${quote(method)}]`;
  const options = [
    Object.keys(metadata).length > 0 ? `metadata: ${JSON.stringify(metadata)}` : '',
    timeout === undefined ? '' : `timeout: ${timeout}`,
  ].filter((option) => option !== '');
  const input = argument.trim() === '' ? 'undefined' : inLine(argument);
  const parts = [isClientStream ? `[${argument.trim() === '' ? '' : input}]` : input];
  if (options.length > 0) parts.push(`{ ${options.join(', ')} }`);
  const call = `client.stub(Service)${access}(${parts.join(', ')})`;
  const versionPart = version === '' ? '' : `, { version: ${quote(version)} }`;
  return [
    `import { ${[hasToken ? 'bearer' : '', 'connect', 'contract', factory].filter(Boolean).join(', ')} } from 'getty-ts/rpc';`,
    '',
    `const Service = contract(${quote(service)}, { ${name}: ${factory}<${types}>() }${versionPart});`,
    `const client = await connect(${quote(address)}${
      hasToken ? ', { interceptors: [bearer(process.env.GETTY_TOKEN)] }' : ''
    });`,
    isServerStream
      ? `for await (const reply of ${call}) console.log(reply);`
      : `console.log(await ${call});`,
    'await client.close();',
    '',
  ].join('\n');
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
