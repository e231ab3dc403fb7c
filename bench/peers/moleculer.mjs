// @ts-check
/**
 * Moleculer over its TCP transporter, with JSON and nodes at fixed addresses. Requests and answers
 * have separate connections, because its nodes communicate in this way.
 */
import { Server } from 'node:net';
import moleculer from 'moleculer';
import { answer, TIMEOUT } from '../message.mjs';

const HOST = '127.0.0.1';
const SERVER = 'server';
let connected = 0;

// Its nodes listen on all interfaces, and no option changes that.
const { listen } = Server.prototype;
/** @this {Server} @param {any[]} args */
Server.prototype.listen = function (...args) {
  const [options, ...rest] = args;
  return Reflect.apply(listen, this, [{ ...options, host: HOST }, ...rest]);
};

/** @param {string} nodeID @param {string[]} urls */
function broker(nodeID, urls) {
  const made = new moleculer.ServiceBroker({
    nodeID,
    logger: false,
    requestTimeout: TIMEOUT,
    transporter: { type: 'TCP', options: { udpDiscovery: false, gossipPeriod: 1, urls } },
  });
  // The node announces its address by this name.
  const { nodes } = /** @type {any} */ (made).registry;
  nodes.localNode.hostname = HOST;
  return { made, port: () => nodes.localNode.port };
}

export async function serve() {
  const { made, port } = broker(SERVER, []);
  made.createService({
    name: 'TestService',
    actions: {
      Test: (/** @type {{ params: import('../message.mjs').Request }} */ { params }) =>
        answer(params),
    },
  });
  await made.start();
  return { address: `${HOST}:${port()}`, close: () => made.stop() };
}

/** @type {import('../message.mjs').Peer['connect']} */
export async function connect(address) {
  const { made } = broker(`client-${process.pid}-${++connected}`, [`${address}/${SERVER}`]);
  await made.start();
  await made.waitForServices('TestService', TIMEOUT);
  return { call: (request) => made.call('TestService.Test', request), close: () => made.stop() };
}
