/**
 * Passes a WebSocket of the page on to the rpc server of the console, so that the page and its
 * WebSocket have one port. The rpc server listens on a loopback port at a secret path.
 */
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';

export interface RelayTarget {
  readonly port: number;
  readonly path: string;
  /** Milliseconds until a WebSocket that sends and receives nothing is closed. */
  readonly timeout: number;
}

/** The headers of the page's request that the rpc server needs. */
const PASSED = ['sec-websocket-key', 'sec-websocket-version', 'sec-websocket-extensions'];

export class UpgradeRelay {
  readonly #target: RelayTarget;
  /** The sockets of the pages, so that close() can end them. */
  readonly #sockets = new Set<Socket>();

  constructor(target: RelayTarget) {
    this.#target = target;
  }

  /** Passes on an upgrade request that was checked. `head`: bytes after the request. */
  open({ headers }: IncomingMessage, page: Socket, head: Buffer): void {
    const { port, path } = this.#target;
    const server = connect({ host: '127.0.0.1', port, noDelay: true });
    this.#link(page, server);
    const lines = [
      `GET ${path} HTTP/1.1`,
      `Host: 127.0.0.1:${port}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      ...PASSED.flatMap((name) => {
        const value = headers[name];
        return typeof value === 'string' ? [`${name}: ${value}`] : [];
      }),
    ];
    server.write(`${lines.join('\r\n')}\r\n\r\n`);
    if (head.length > 0) server.write(head);
    page.pipe(server);
    server.pipe(page);
  }

  #link(page: Socket, server: Socket): void {
    const close = (): void => {
      page.destroy();
      server.destroy();
      this.#sockets.delete(page);
    };
    this.#sockets.add(page);
    // The rpc server cannot tell that a page does not read: the relay has taken its bytes.
    page.setTimeout(this.#target.timeout).on('timeout', close);
    // An error without a listener would end the process. The 'close' event follows it.
    for (const socket of [page, server]) socket.on('error', () => {}).on('close', close);
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
