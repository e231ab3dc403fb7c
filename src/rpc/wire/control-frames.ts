/** The frames that only extended peers send: messages and control frames of streams, goaway. */
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
} from './frame.js';
import { EXTENDED_ANSWER, EXTENDED_REQUEST } from './request.js';
import { FrameIds, NO_SEQUENCE, type Sequence } from './sequence.js';

/** One message of a stream. A stream uses one ItemFrame for all its messages. */
export class ItemFrame {
  /** The size of the frame that was written last. */
  bytes = 0;
  value: unknown;
  readonly #ids: FrameIds;
  readonly #codec: number;
  readonly #body: MessageCodec;

  constructor(sequence: Sequence, codec: CodecName, body: MessageCodec) {
    this.#ids = new FrameIds(EXTENDED_REQUEST, sequence);
    this.#codec = CODEC_NUMBER[codec];
    this.#body = body;
  }

  write(output: ByteWriter): void {
    const at = beginFrame(output, COMMAND.item, CODE.ok, this.#codec, this.#ids);
    endSection(output, beginSection(output));
    const body = beginSection(output);
    this.#body.encode(output, this.value);
    endSection(output, body);
    endFrame(output, at);
    this.bytes = output.length - at;
    this.value = undefined;
  }
}

/** A frame without a message: `end` has two empty sections, `credit` a number. */
export class ControlFrame {
  readonly #command: number;
  readonly #ids: FrameIds;
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
    this.#ids = new FrameIds(serviceId, sequence);
    this.#codec = CODEC_NUMBER[codec];
    this.#credit = credit;
  }

  /** A heartbeat answer without a heartbeat: it shows the peer that this side is alive. */
  static signOfLife(): ControlFrame {
    return new ControlFrame(COMMAND.heartbeatAnswer, NO_SEQUENCE, 'json', 0, EXTENDED_ANSWER);
  }

  static goaway(): ControlFrame {
    return new ControlFrame(COMMAND.goaway, NO_SEQUENCE, 'json');
  }

  static cancel(sequence: Sequence): ControlFrame {
    return new ControlFrame(COMMAND.cancel, sequence, 'json');
  }

  /** The end of the caller's stream. The serving side ends its stream by an Answer. */
  static end(sequence: Sequence, codec: CodecName): ControlFrame {
    return new ControlFrame(COMMAND.end, sequence, codec);
  }

  static credit(sequence: Sequence, bytes: number): ControlFrame {
    return new ControlFrame(COMMAND.credit, sequence, 'json', bytes);
  }

  write(output: ByteWriter): void {
    const at = beginFrame(output, this.#command, CODE.ok, this.#codec, this.#ids);
    if (this.#command === COMMAND.end) {
      endSection(output, beginSection(output));
      endSection(output, beginSection(output));
    } else if (this.#command === COMMAND.credit) output.uint32(this.#credit, true);
    endFrame(output, at);
  }
}
