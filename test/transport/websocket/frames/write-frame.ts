import type { ByteWriter } from '../../../../src/transport/index.js';
import {
  completeFrame,
  minHeaderBytes,
} from '../../../../src/transport/websocket/frames/frame-writer.js';

/**
 * Writes a frame as a session does: it reserves the header, appends the payload, completes both.
 */
export function writeFrame(
  output: ByteWriter,
  payload: Uint8Array,
  first: number,
  isMasked: boolean,
): void {
  const start = output.reserve(minHeaderBytes(isMasked));
  output.append(payload);
  completeFrame(output, start, first, isMasked);
}
