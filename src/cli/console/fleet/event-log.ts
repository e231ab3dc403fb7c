/** What has happened, in bounded memory. */
import { printable } from '../../output/printable.js';
import { MAX_EVENTS } from '../limits.js';
import type { FleetEvent } from '../types.js';

/** The most characters of an event. */
const MAX_TEXT = 300;
/** So one node whose state changes all the time cannot replace all older events. */
const MAX_PER_SECOND = 50;

export class EventLog {
  readonly #events: FleetEvent[] = [];
  #last = 0;
  #second = 0;
  #inSecond = 0;

  add(event: Omit<FleetEvent, 'number' | 'time'>): void {
    const time = Date.now();
    const second = Math.floor(time / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#inSecond = 0;
    }
    if (++this.#inSecond > MAX_PER_SECOND) return;
    this.#push({ ...event, text: printable(event.text, MAX_TEXT), time, number: ++this.#last });
    if (this.#inSecond === MAX_PER_SECOND)
      this.#push({
        kind: 'console',
        level: 'warning',
        text: 'there are too many events; further ones of this second are left out',
        time,
        number: ++this.#last,
      });
  }

  #push(event: FleetEvent): void {
    this.#events.push(event);
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
  }

  /** The number of the last event; 0 before the first one. */
  get last(): number {
    return this.#last;
  }

  /** The events after the one with this number, oldest first. */
  since(number: number): FleetEvent[] {
    const first = this.#events[0]?.number ?? 0;
    return this.#events.slice(Math.max(0, number + 1 - first));
  }
}
