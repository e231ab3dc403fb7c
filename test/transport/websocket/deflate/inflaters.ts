/** Both directions of permessage-deflate for tests, with a limit of 100,000 bytes. */
import { constants, deflateRawSync, type ZlibOptions } from 'node:zlib';
import { MessageDeflater } from '../../../../src/transport/websocket/deflate/message-deflater.js';
import { MessageInflater } from '../../../../src/transport/websocket/deflate/message-inflater.js';
import type {
  FrameRules,
  Inflater,
} from '../../../../src/transport/websocket/frames/frame-parser.js';
import { FROM_SERVER } from '../frames/parsed-events.js';

export const deflater = new MessageDeflater('deflate');
export const inflater = new MessageInflater(100_000, 100_000, false);
export const COMPRESSED_FROM_SERVER: FrameRules = { ...FROM_SERVER, inflater };

/** `base` with other functions. */
export const inflaterWith = (
  functions: Partial<Inflater>,
  base: Inflater = inflater,
): Inflater => ({
  inflate: (bytes) => base.inflate(bytes),
  inflateStart: (bytes) => base.inflateStart(bytes),
  inflateOnThread: (bytes, done) => base.inflateOnThread(bytes, done),
  ...functions,
});

/** A compressed message of a peer, in the blocks that zlib chooses. */
export const compress = (message: Buffer, options: ZlibOptions = {}): Buffer =>
  deflateRawSync(message, { finishFlush: constants.Z_SYNC_FLUSH, ...options }).subarray(0, -4);
