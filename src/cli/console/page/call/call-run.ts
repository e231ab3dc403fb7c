/** One call, from its request to its end, and what it has answered. */
import { messageOf } from '../../../../core/errors.js';
import type { CallInput, CallOutput, CallRequest } from '../../types.js';
import { h, setClass, setText } from '../dom.js';
import type { FleetStore } from '../fleet-store.js';
import { milliseconds } from '../format.js';
import { MessageQueue } from './message-queue.js';

/** The most replies that are shown; the oldest ones are removed. */
const MAX_REPLIES = 200;

export class CallRun {
  readonly element = h('div', { class: 'run' });
  readonly #input = new MessageQueue<CallInput>();
  readonly #cancel = new AbortController();
  readonly #status = h('p', { class: 'run-status', role: 'status' }, 'Calling …');
  readonly #replies = h('ol', { class: 'replies' });
  readonly #metadata = h('dl', { class: 'metadata', hidden: true });
  readonly #isStream: boolean;
  readonly #startTime = performance.now();
  #count = 0;
  isRunning = true;

  constructor(request: CallRequest) {
    this.#isStream = request.kind !== 'unary';
    this.#input.push({ open: request });
    this.element.append(this.#status, this.#replies, this.#metadata);
  }

  /** Sends a message of the argument. */
  send(json: string): void {
    this.#input.push({ message: json });
  }

  /** No message of the argument follows. */
  endInput(): void {
    this.#input.end();
  }

  cancel(): void {
    this.#cancel.abort();
  }

  /** Makes the call. Settles at its end, and never rejects. */
  async run(store: FleetStore): Promise<void> {
    try {
      const outputs = store.console.call(this.#input, { signal: this.#cancel.signal });
      for await (const output of outputs) {
        if (output.type === 'end') this.#showEnd(output);
        else this.#showReply(output);
      }
    } catch (error) {
      this.#showStatus(
        this.#cancel.signal.aborted ? 'Cancelled' : `The console: ${messageOf(error)}`,
        'bad',
      );
    } finally {
      this.isRunning = false;
      this.#input.end();
    }
  }

  #showReply({ json, cut }: Extract<CallOutput, { type: 'reply' }>): void {
    this.#count++;
    const text = json === '' ? 'no value' : json;
    const time = milliseconds(performance.now() - this.#startTime);
    this.#replies.append(
      h(
        'li',
        {},
        this.#isStream ? h('span', { class: 'note' }, `${this.#count} · after ${time}`) : undefined,
        h('pre', { tabindex: '0' }, text),
        cut > 0 ? h('p', { class: 'note' }, `${cut} further characters are left out.`) : undefined,
      ),
    );
    if (this.#replies.childElementCount > MAX_REPLIES) this.#replies.firstElementChild?.remove();
    if (this.#isStream)
      this.#showStatus(
        this.#count > MAX_REPLIES
          ? `Receiving: ${this.#count} replies, of which the last ${MAX_REPLIES} are shown`
          : `Receiving: ${this.#count} ${this.#count === 1 ? 'reply' : 'replies'}`,
        'plain',
      );
  }

  #showEnd({ code, message, duration, metadata }: Extract<CallOutput, { type: 'end' }>): void {
    const replies = this.#isStream
      ? `, ${this.#count} ${this.#count === 1 ? 'reply' : 'replies'}`
      : '';
    const reason = message === '' ? '' : `: ${message}`;
    this.#showStatus(
      `${code} in ${milliseconds(duration)}${replies}${reason}`,
      code === 'OK' ? 'good' : 'bad',
    );
    const entries = Object.entries(metadata);
    this.#metadata.hidden = entries.length === 0;
    for (const [key, value] of entries) this.#metadata.append(h('dt', {}, key), h('dd', {}, value));
  }

  #showStatus(text: string, tone: string): void {
    setText(this.#status, text);
    setClass(this.#status, `run-status ${tone}`);
  }
}
