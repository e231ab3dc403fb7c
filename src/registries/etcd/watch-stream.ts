/**
 * One stream of watches on a connection: ranges are added while it runs, and each answer is handed
 * on.
 */

import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { followSignal } from '../../core/signals.js';
import type { Connection } from './connection.js';
import {
  type WatchCreateRequest,
  type WatchRequest,
  WatchRequestSchema,
  type WatchResponse,
} from './proto/rpc_pb.js';

/** What is watched, from which revision on. */
export type Range = Partial<Pick<WatchCreateRequest, 'key' | 'rangeEnd' | 'startRevision'>>;

/** The watch id of an answer to requestProgress(). */
const NO_WATCH = -1n;

export class WatchStream<Tag> {
  readonly connection: Connection;
  readonly #requests = new Requests();
  readonly #abort = new AbortController();
  /**
   * Watches that the server has not confirmed, in the order of the requests, which is that of the
   * confirmations.
   */
  readonly #unconfirmed: Tag[] = [];
  readonly #byId = new Map<bigint, Tag>();
  /** To be ended as soon as their ids are known. */
  readonly #unwanted = new Set<Tag>();

  constructor(connection: Connection) {
    this.connection = connection;
  }

  get ended(): boolean {
    return this.#abort.signal.aborted || this.connection.over;
  }

  add(tag: Tag, range: Range): void {
    this.#unconfirmed.push(tag);
    this.#requests.push({
      case: 'createRequest',
      value: { ...range, progressNotify: true, fragment: true },
    });
  }

  /**
   * Ask up to which revision the watches are; `onProgress` of run() is told, unless the server is
   * busy with the watches or older than etcd 3.4.
   */
  requestProgress(): void {
    this.#requests.push({ case: 'progressRequest', value: {} });
  }

  /** Watch no longer what was added with this tag. */
  remove(tag: Tag): void {
    for (const [id, known] of this.#byId) {
      if (known !== tag) continue;
      this.#byId.delete(id);
      this.#requests.push({ case: 'cancelRequest', value: { watchId: id } });
      return;
    }
    if (this.#unconfirmed.includes(tag)) this.#unwanted.add(tag);
  }

  /**
   * Follow until end() is called. `onAnswer` is told of each answer of a watch; of one that is
   * compacted, `onCompacted` is told, and that watch is over. Rejects when the stream or the
   * connection fails, or a watch is refused.
   */
  async run(
    onAnswer: (tag: Tag, answer: WatchResponse) => void,
    onCompacted: (tag: Tag) => void,
    onProgress: (answer: WatchResponse) => void = () => {},
  ): Promise<void> {
    const lost = (): void => this.#abort.abort(this.connection.gone.reason);
    const release = followSignal(this.connection.gone, lost);
    if (this.connection.gone.aborted) lost();
    try {
      // The server is to end the stream when it has lost its leader, for then it would learn of
      // nothing.
      const headers = { ...this.connection.headers, hasleader: 'true' };
      // No deadline: 0 is none.
      const answers = this.connection.watch.watch(this.#requests, {
        signal: this.#abort.signal,
        headers,
        timeoutMs: 0,
      });
      for await (const answer of answers) {
        if (answer.watchId === NO_WATCH && !answer.created && !answer.canceled) onProgress(answer);
        else this.#take(answer, onAnswer, onCompacted);
      }
      if (!this.#abort.signal.aborted)
        throw new ConnectError('the server ended the watch', Code.Unavailable);
    } catch (error) {
      if (!(this.#abort.signal.reason instanceof Ended)) throw error;
    } finally {
      release();
      this.end();
    }
  }

  #take(
    answer: WatchResponse,
    onAnswer: (tag: Tag, answer: WatchResponse) => void,
    onCompacted: (tag: Tag) => void,
  ): void {
    const { watchId, created, canceled, compactRevision, cancelReason } = answer;
    if (created) this.#confirm(watchId, canceled);
    const tag = this.#byId.get(watchId);
    if (canceled && compactRevision > 0n) {
      this.#byId.delete(watchId);
      if (tag !== undefined) onCompacted(tag);
    } else if (canceled && (created || tag !== undefined)) {
      throw new ConnectError(`the watch is refused: ${cancelReason}`, refusalOf(cancelReason));
    } else if (tag !== undefined && !canceled) {
      onAnswer(tag, answer);
    }
  }

  #confirm(id: bigint, refused: boolean): void {
    const tag = this.#unconfirmed.shift();
    if (tag === undefined || refused) return;
    this.#byId.set(id, tag);
    if (this.#unwanted.delete(tag)) this.remove(tag);
  }

  /** End it; run() resolves. */
  end(): void {
    this.#requests.end();
    if (!this.#abort.signal.aborted) this.#abort.abort(new Ended());
  }
}

/**
 * etcd tells why in words only. A stream keeps the token that it was begun with, which may have
 * expired since.
 */
function refusalOf(reason: string): Code {
  if (/auth token|auth store/.test(reason)) return Code.Unauthenticated;
  return reason.includes('permission') ? Code.PermissionDenied : Code.Unavailable;
}

/** Why a stream was aborted: it was not needed any longer. */
class Ended extends ConnectError {
  constructor() {
    super('the watch is not needed any longer', Code.Canceled);
  }
}

type RequestUnion = Parameters<typeof create<typeof WatchRequestSchema>>[1] extends infer Init
  ? NonNullable<Init>['requestUnion' & keyof NonNullable<Init>]
  : never;

/** What is sent on the stream, when it comes. */
class Requests implements AsyncIterable<WatchRequest> {
  readonly #queue: WatchRequest[] = [];
  #waiting: ((result: IteratorResult<WatchRequest>) => void) | undefined;
  #ended = false;

  push(requestUnion: RequestUnion): void {
    const request = create(WatchRequestSchema, { requestUnion });
    if (this.#waiting === undefined) this.#queue.push(request);
    else this.#waiting({ done: false, value: request });
    this.#waiting = undefined;
  }

  end(): void {
    this.#ended = true;
    this.#waiting?.({ done: true, value: undefined });
    this.#waiting = undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchRequest> {
    return {
      next: () => {
        const request = this.#queue.shift();
        if (request !== undefined) return Promise.resolve({ done: false, value: request });
        if (this.#ended) return Promise.resolve({ done: true, value: undefined });
        return new Promise((resolve) => {
          this.#waiting = resolve;
        });
      },
      return: () => {
        this.end();
        return Promise.resolve({ done: true, value: undefined });
      },
      // Connect tells so that the stream has failed.
      throw: (error: unknown) => {
        this.end();
        return Promise.reject(error);
      },
    };
  }
}
