/** A codec that converts the messages of another codec. */
import { refusePromise } from '../../core/callbacks.js';
import { gettyError } from '../../core/errors.js';
import { badOption } from '../../core/options.js';
import type { Codec, Session } from '../types.js';

/**
 * Returns a codec that reads and writes with `codec`, and converts its messages. Both functions
 * must be synchronous: a returned promise counts as an exception. Throws BAD_OPTION.
 *
 * `decode` converts a message that `codec` has read. If it throws or returns undefined, the session
 * closes with BAD_FRAME; on UDP it reports BAD_FRAME and stays open. `encode` converts a message
 * that is written. If it throws, the writer receives the error, and nothing is sent.
 */
export function mapCodec<In, Out, MappedIn, MappedOut = MappedIn>(
  codec: Codec<In, Out>,
  decode: (message: In) => MappedIn,
  encode: (message: MappedOut) => Out,
): Codec<MappedIn, MappedOut> {
  if (typeof codec?.read !== 'function' || typeof codec.write !== 'function')
    throw badOption('codec', codec, 'an object with read and write');
  if (typeof decode !== 'function') throw badOption('decode', decode, 'a function');
  if (typeof encode !== 'function') throw badOption('encode', encode, 'a function');
  return {
    read(input, session) {
      const message = codec.read(input, session as unknown as Session<In, Out>);
      if (message === undefined) return undefined;
      const mapped = decode(message);
      refusePromise('BAD_FRAME', 'decode of mapCodec()', mapped);
      if (mapped === undefined)
        throw gettyError(
          'BAD_FRAME',
          'decode of mapCodec() returned undefined for a complete message',
        );
      return mapped;
    },
    write(output, message, session) {
      const mapped = encode(message);
      refusePromise('ENCODE_FAILED', 'encode of mapCodec()', mapped);
      return codec.write(output, mapped, session as unknown as Session<In, Out>);
    },
  };
}
