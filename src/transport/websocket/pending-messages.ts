import { keepable } from '../../core/bytes.js';
import { Queue } from '../../core/queue.js';
import type { ReceivedMessage } from './frames/frame-event.js';

/** The memory of a message besides its bytes, so that empty messages count too. Bytes. */
const MESSAGE_OVERHEAD = 256;

/** The messages that arrived while the session was paused. */
export class PendingMessages extends Queue<ReceivedMessage> {
  /** The memory that the messages take. */
  bytes = 0;

  /**
   * Copies the message if it is a small part of its chunk, because a view keeps the whole chunk.
   */
  override push({ type, bytes, start, end, isText }: ReceivedMessage): void {
    const kept = keepable(bytes, start, end);
    super.push({ type, bytes: kept, start: 0, end: kept.length, isText });
    this.bytes += kept.length + MESSAGE_OVERHEAD;
  }

  override shift(): ReceivedMessage | undefined {
    const message = super.shift();
    if (message !== undefined) this.bytes -= message.bytes.length + MESSAGE_OVERHEAD;
    return message;
  }
}
