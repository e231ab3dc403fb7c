/** Decodes the frames of one connection, in both directions. Does not delay or change bytes. */
import { NoReplyCalls } from '../../rpc/calls/no-reply-calls.js';
import { describedSequence, type FrameDescription } from '../../rpc/wire/frame-description.js';
import { FrameScanner } from '../../rpc/wire/frame-scanner.js';
import type { Direction } from '../../testing/proxy/index.js';
import type { BodyView } from './body-view.js';
import { type ObservedCall, OpenCalls } from './open-calls.js';
import { shownMetadata } from './secrets.js';
import type { FrameRecord, Framing, ReportRecord } from './traffic-record.js';
import { WebSocketDecoder } from './websocket-decoder.js';

export interface DecoderSettings {
  readonly framing: Framing;
  readonly bodies: BodyView;
  readonly showsSecrets: boolean;
}

export class ConnectionDecoder {
  readonly #settings: DecoderSettings;
  readonly #report: ReportRecord;
  readonly #calls = new OpenCalls();
  readonly #noReply: Readonly<Record<Direction, NoReplyCalls>>;
  readonly #scanners: Readonly<Record<Direction, FrameScanner>>;
  readonly #webSocket: WebSocketDecoder | undefined;

  constructor(settings: DecoderSettings, report: ReportRecord) {
    this.#settings = settings;
    this.#report = report;
    // The key is the direction of the answers.
    this.#noReply = { toServer: new NoReplyCalls(), toClient: new NoReplyCalls() };
    this.#scanners = { toServer: this.#scanner('toServer'), toClient: this.#scanner('toClient') };
    if (settings.framing === 'websocket')
      this.#webSocket = new WebSocketDecoder(report, (direction, message) =>
        this.#scanWhole(direction, message),
      );
  }

  #scanner(direction: Direction): FrameScanner {
    return new FrameScanner(
      {
        onFrame: (frame) => this.#onFrame(direction, frame),
        onOtherBytes: (first, length) =>
          this.#report(direction, () => ({ kind: 'bytes', bytes: length, ...shownBytes(first) })),
      },
      this.#noReply[direction],
    );
  }

  onBytes(direction: Direction, bytes: Buffer): void {
    if (this.#webSocket !== undefined) this.#webSocket.onBytes(direction, bytes);
    else if (this.#settings.framing === 'datagrams') this.#scanWhole(direction, bytes);
    else this.#scanners[direction].feed(bytes);
  }

  /** Reports the frames that were not complete at the end of the connection. */
  onClose(): void {
    for (const direction of ['toServer', 'toClient'] as const) {
      const scanner = this.#scanners[direction];
      if (this.#webSocket?.isInMessage(direction) || scanner.isInFrame)
        this.#report(direction, () => ({
          kind: 'bytes',
          text: 'the connection ended within a frame',
        }));
      scanner.end();
    }
  }

  /** Scans a datagram or a WebSocket message, which consists of whole frames. */
  #scanWhole(direction: Direction, bytes: Buffer): void {
    const scanner = this.#scanners[direction];
    scanner.feed(bytes);
    const lacking = scanner.end();
    if (lacking > 0)
      this.#report(direction, () => ({
        kind: 'bytes',
        text: `the message lacks ${lacking} bytes of its last frame`,
      }));
  }

  #onFrame(direction: Direction, frame: FrameDescription): void {
    if (frame.request !== undefined) this.#addCall(direction, frame);
    const call = this.#calls.find(frame);
    const isOver = frame.status !== undefined && call !== undefined && call.direction !== direction;
    const now = performance.now();
    this.#report(direction, () => ({
      ...this.#recordOf(frame, call, direction),
      duration: isOver ? Math.round((now - call.startedAt) * 1_000) / 1_000 : undefined,
    }));
    // An answer in a datagram may arrive twice.
    if (isOver && this.#settings.framing !== 'datagrams') this.#calls.remove(frame);
  }

  #addCall(direction: Direction, frame: FrameDescription): void {
    const { request, callKind, sequenceLow } = frame;
    if (request === undefined) return;
    const { service, method } = request;
    this.#calls.add(frame, { service, method, direction, startedAt: performance.now() });
    if (callKind === 'noReply')
      this.#noReply[direction === 'toServer' ? 'toClient' : 'toServer'].add(sequenceLow);
  }

  #recordOf(
    frame: FrameDescription,
    call: ObservedCall | undefined,
    direction: Direction,
  ): FrameRecord {
    const { kind, request, status, codec, credit, size, bodyBytes } = frame;
    const { bodies, showsSecrets } = this.#settings;
    const isCall = kind !== 'goaway' && kind !== 'heartbeat' && kind !== 'heartbeat answer';
    const named = request ?? (isCall ? call : undefined);
    return {
      kind,
      ...describedSequence(frame),
      service: named?.service,
      method: named?.method,
      version: request?.version || undefined,
      callKind: frame.callKind,
      codec,
      timeout: request?.timeout,
      code: status?.code,
      message: status?.message || undefined,
      text: frame.isInvalid ? 'with an invalid header' : undefined,
      metadata: shownMetadata(request?.metadata ?? status?.metadata, showsSecrets),
      credit,
      bytes: size,
      bodyBytes: codec === undefined ? undefined : bodyBytes,
      ...bodies.show(frame, call, direction),
    };
  }
}

/** In hex, and as text with a point for each byte that is not printable ASCII. */
export function shownBytes(bytes: Buffer): { readonly hex: string; readonly text: string } {
  return {
    hex: bytes.toString('hex').replace(/(..)(?=.)/g, '$1 '),
    text: bytes.toString('latin1').replace(/[^ -~]/g, '.'),
  };
}
