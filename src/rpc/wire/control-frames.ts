/**
 * The packages of streams, and those that say a word and no more: what two extended peers send each
 * other.
 */
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import type { CodecName, MessageCodec } from '../types.js';
import {
  beginFrame,
  beginSection,
  CODE,
  CODEC_NUMBER,
  COMMAND,
  endFrame,
  endSection,
  type Tags,
} from './frame.js';
import { EXTENDED_ANSWER, EXTENDED_REQUEST } from './request.js';

/** A call as its packages name it. */
export interface Sequence {
  readonly sequenceLow: number;
  readonly sequenceHigh: number;
}

function tagsOf({ sequenceLow, sequenceHigh }: Sequence): Tags {
  return { serviceId: EXTENDED_REQUEST, sequenceLow, sequenceHigh, logIdLow: 0, logIdHigh: 0 };
}

/** One message of a stream. A stream has one of these and fills it anew for each. */
export class ItemPacket {
  /** What the package took, once it is written. */
  bytes = 0;
  value: unknown;
  readonly #tags: Tags;
  readonly #codec: number;
  readonly #body: MessageCodec;

  constructor(sequence: Sequence, codec: CodecName, body: MessageCodec) {
    this.#tags = tagsOf(sequence);
    this.#codec = CODEC_NUMBER[codec];
    this.#body = body;
  }

  write(output: ByteWriter): void {
    const at = beginFrame(output, COMMAND.item, CODE.ok, this.#codec, this.#tags);
    endSection(output, beginSection(output));
    const body = beginSection(output);
    this.#body.encode(output, this.value);
    endSection(output, body);
    endFrame(output, at);
    this.bytes = output.length - at;
    this.value = undefined;
  }
}

/** A package of a header alone; `end` with empty sections, `credit` with a number. */
export class ControlPacket {
  readonly #command: number;
  readonly #tags: Tags;
  readonly #codec: number;
  readonly #credit: number;

  private constructor(
    command: number,
    sequence: Sequence,
    codec: CodecName,
    credit = 0,
    serviceId = EXTENDED_REQUEST,
  ) {
    this.#command = command;
    this.#tags = { ...tagsOf(sequence), serviceId };
    this.#codec = CODEC_NUMBER[codec];
    this.#credit = credit;
  }

  /** An answer that no heartbeat waits for: the peer hears that this side is alive. */
  static signOfLife(): ControlPacket {
    return new ControlPacket(
      COMMAND.heartbeatReply,
      { sequenceLow: 0, sequenceHigh: 0 },
      'json',
      0,
      EXTENDED_ANSWER,
    );
  }

  static goaway(): ControlPacket {
    return new ControlPacket(COMMAND.goaway, { sequenceLow: 0, sequenceHigh: 0 }, 'json');
  }

  static cancel(sequence: Sequence): ControlPacket {
    return new ControlPacket(COMMAND.cancel, sequence, 'json');
  }

  /** Of the calling side; the answering side's end is a Reply. */
  static end(sequence: Sequence, codec: CodecName): ControlPacket {
    return new ControlPacket(COMMAND.end, sequence, codec);
  }

  static credit(sequence: Sequence, bytes: number): ControlPacket {
    return new ControlPacket(COMMAND.credit, sequence, 'json', bytes);
  }

  write(output: ByteWriter): void {
    const at = beginFrame(output, this.#command, CODE.ok, this.#codec, this.#tags);
    if (this.#command === COMMAND.end) {
      endSection(output, beginSection(output));
      endSection(output, beginSection(output));
    } else if (this.#command === COMMAND.credit) output.uint32(this.#credit, true);
    endFrame(output, at);
  }
}
