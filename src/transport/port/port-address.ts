/** Parses the address of a message port. */
import { badOption, checkNames, type NamesOf } from '../../core/options.js';
import { type Address, checkName } from '../address.js';
import type { PortAddress } from '../types.js';
import { isMessageEndpoint } from './message-port.js';

const NAMES = { port: true, name: true } satisfies NamesOf<PortAddress>;

/** The numbers of the ports without a name. Both sides of a port have numbers of their own. */
const numbers = new WeakMap<object, number>();
let lastNumber = 0;

/** `of`: the function that the address is given to. Throws BAD_OPTION. */
export function parsePortAddress(given: PortAddress, of: string): Address {
  checkNames(`the address of ${of}`, given, NAMES);
  const { port, name } = given;
  if (!isMessageEndpoint(port))
    throw badOption('port', port, 'a MessagePort, a Worker or parentPort');
  checkName(name);
  const host = name ?? String(numberOf(port));
  return { scheme: 'port', host, port: 0, path: '', text: `port://${host}`, messagePort: port };
}

function numberOf(port: object): number {
  const number = numbers.get(port) ?? ++lastNumber;
  numbers.set(port, number);
  return number;
}
