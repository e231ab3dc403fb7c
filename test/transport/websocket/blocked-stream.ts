import type { Connection, ConnectionEvents } from '../../../src/transport/types.js';
import { WebSocketConnection } from '../../../src/transport/websocket/websocket-connection.js';

/** A stream that takes no bytes until takeAll(). */
class BlockedStream implements Connection {
  readonly localAddress = 'test://here';
  readonly remoteAddress = 'test://there';
  /** Each write in hex. */
  readonly written: string[] = [];
  bufferedBytes = 0;
  isPaused = false;
  events: ConnectionEvents | undefined;

  attach(events: ConnectionEvents): void {
    this.events = events;
  }

  write(bytes: Uint8Array): void {
    this.written.push(Buffer.from(bytes).toString('hex'));
    this.bufferedBytes += bytes.length;
  }

  takeAll(): void {
    this.bufferedBytes = 0;
    this.events?.onTaken();
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  end(): void {}

  destroy(): void {}
}

/** The connection of a server over a BlockedStream, and the messages that it delivers. */
export function blockedConnection() {
  const stream = new BlockedStream();
  const connection = new WebSocketConnection(stream, {
    role: 'server',
    protocol: undefined,
    deflate: undefined,
    isText: false,
  });
  const received: Uint8Array[] = [];
  const ignore = (): void => {};
  const events = {
    onData: ignore,
    onMessage: (bytes: Uint8Array, _isText: boolean, start: number, end: number): void =>
      void received.push(bytes.subarray(start, end)),
    onAlive: ignore,
    onTaken: ignore,
    onEnd: ignore,
    onClose: ignore,
  };
  connection.attach(events, {
    maxMessageBytes: 1_000_000,
    maxInflatedBytes: 1_000,
    maxQueuedBytes: 1,
  });
  return { stream, connection, received };
}
