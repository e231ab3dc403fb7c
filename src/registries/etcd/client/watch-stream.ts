/** One stream of etcd watches on a connection. Ranges can be added while it runs. */

import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { followSignal } from '../../../core/signals.js';
import {
  type WatchCreateRequest,
  type WatchRequest,
  WatchRequestSchema,
  type WatchResponse,
} from '../proto/rpc_pb.js';
import type { MemberConnection } from './member-connection.js';

/** The keys to watch, and the first revision. */
export type WatchRange = Partial<Pick<WatchCreateRequest, 'key' | 'rangeEnd' | 'startRevision'>>;

/** The watch id of an answer to requestProgress(). */
const PROGRESS_WATCH_ID = -1n;

export class WatchStream<Tag> {
  readonly connection: MemberConnection;
  readonly #requests = new RequestStream();
  readonly #abort = new AbortController();
  /** Watches that the server has not confirmed. It confirms them in the order of the requests. */
  readonly #unconfirmed: Tag[] = [];
  readonly #byId = new Map<bigint, Tag>();
  /** Watches to cancel as soon as their ids are known. */
  readonly #toCancel = new Set<Tag>();

  constructor(connection: MemberConnection) {
    this.connection = connection;
  }

  get hasEnded(): boolean {
    return this.#abort.signal.aborted || this.connection.isClosed;
  }

  add(tag: Tag, range: WatchRange): void {
    this.#unconfirmed.push(tag);
    this.#requests.push({
      case: 'createRequest',
      value: { ...range, progressNotify: true, fragment: true },
    });
  }

  /**
   * Requests the revision that the watches have reached; `onProgress` of run() is called with it.
   * The server does not answer while it is busy with the watches, or if it is older than etcd 3.4.
   */
  requestProgress(): void {
    this.#requests.push({ case: 'progressRequest', value: {} });
  }

  /** Cancels the watch that was added with this tag. */
  remove(tag: Tag): void {
    for (const [id, known] of this.#byId) {
      if (known !== tag) continue;
      this.#byId.delete(id);
      this.#requests.push({ case: 'cancelRequest', value: { watchId: id } });
      return;
    }
    if (this.#unconfirmed.includes(tag)) this.#toCancel.add(tag);
  }

  /**
   * Runs until end() is called. Calls `onAnswer` with each answer of a watch, and waits for its
   * result before it reads the next answer. Calls `onCompacted` if the start revision of a watch is
   * compacted; that watch has ended. Rejects if the stream or the connection fails, or if a watch
   * is refused.
   */
  async run(
    onAnswer: (tag: Tag, answer: WatchResponse) => unknown,
    onCompacted: (tag: Tag) => void,
    onProgress: (answer: WatchResponse) => void = () => {},
  ): Promise<void> {
    const { closeSignal } = this.connection;
    const abort = (): void => this.#abort.abort(closeSignal.reason);
    const release = followSignal(closeSignal, abort);
    if (closeSignal.aborted) abort();
    try {
      // With `hasleader` a member that has lost its leader ends the stream. Otherwise it would keep
      // the stream and send no events.
      const headers = { ...this.connection.headers, hasleader: 'true' };
      // timeoutMs: 0 is no deadline.
      const answers = this.connection.watch.watch(this.#requests, {
        signal: this.#abort.signal,
        headers,
        timeoutMs: 0,
      });
      for await (const answer of answers) {
        if (answer.watchId === PROGRESS_WATCH_ID && !answer.created && !answer.canceled)
          onProgress(answer);
        else await this.#onAnswer(answer, onAnswer, onCompacted);
      }
      if (!this.#abort.signal.aborted)
        throw new ConnectError('the server ended the watch', Code.Unavailable);
    } catch (error) {
      if (!(this.#abort.signal.reason instanceof StreamEnded)) throw error;
    } finally {
      release();
      this.end();
    }
  }

  async #onAnswer(
    answer: WatchResponse,
    onAnswer: (tag: Tag, answer: WatchResponse) => unknown,
    onCompacted: (tag: Tag) => void,
  ): Promise<void> {
    const { watchId, created, canceled, compactRevision, cancelReason } = answer;
    if (created) this.#onCreated(watchId, canceled);
    const tag = this.#byId.get(watchId);
    if (canceled && compactRevision > 0n) {
      this.#byId.delete(watchId);
      if (tag !== undefined) onCompacted(tag);
    } else if (canceled && (created || tag !== undefined)) {
      throw new ConnectError(`the watch is refused: ${cancelReason}`, refusalOf(cancelReason));
    } else if (tag !== undefined && !canceled) {
      await onAnswer(tag, answer);
    }
  }

  #onCreated(id: bigint, isRefused: boolean): void {
    const tag = this.#unconfirmed.shift();
    if (tag === undefined || isRefused) return;
    this.#byId.set(id, tag);
    if (this.#toCancel.delete(tag)) this.remove(tag);
  }

  /** Ends the stream; run() resolves. */
  end(): void {
    this.#requests.end();
    if (!this.#abort.signal.aborted) this.#abort.abort(new StreamEnded());
  }
}

/**
 * etcd gives the reason as text only. A stream keeps its first token, which may have expired
 * meanwhile.
 */
function refusalOf(reason: string): Code {
  if (/auth token|auth store/.test(reason)) return Code.Unauthenticated;
  return reason.includes('permission') ? Code.PermissionDenied : Code.Unavailable;
}

/** The reason of a stream that end() has aborted. */
class StreamEnded extends ConnectError {
  constructor() {
    super('the watch is not needed any longer', Code.Canceled);
  }
}

type RequestUnion = Parameters<typeof create<typeof WatchRequestSchema>>[1] extends infer Init
  ? NonNullable<Init>['requestUnion' & keyof NonNullable<Init>]
  : never;

/** The requests on the stream, as Connect reads them. */
class RequestStream implements AsyncIterable<WatchRequest> {
  readonly #queue: WatchRequest[] = [];
  #waiting: ((result: IteratorResult<WatchRequest>) => void) | undefined;
  #hasEnded = false;

  push(requestUnion: RequestUnion): void {
    const request = create(WatchRequestSchema, { requestUnion });
    if (this.#waiting === undefined) this.#queue.push(request);
    else this.#waiting({ done: false, value: request });
    this.#waiting = undefined;
  }

  end(): void {
    this.#hasEnded = true;
    this.#waiting?.({ done: true, value: undefined });
    this.#waiting = undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchRequest> {
    return {
      next: () => {
        const request = this.#queue.shift();
        if (request !== undefined) return Promise.resolve({ done: false, value: request });
        if (this.#hasEnded) return Promise.resolve({ done: true, value: undefined });
        return new Promise((resolve) => {
          this.#waiting = resolve;
        });
      },
      return: () => {
        this.end();
        return Promise.resolve({ done: true, value: undefined });
      },
      // Connect calls it when the stream has failed.
      throw: (error: unknown) => {
        this.end();
        return Promise.reject(error);
      },
    };
  }
}
