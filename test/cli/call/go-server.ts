/** A server that answers as the recorded servers of Go do. */
import { RawServer } from '../../fixtures/raw-peer.js';
import { type Fields, parseFrame, recordedFrames, withTags } from '../../fixtures/rpc-frames.js';

/** The connections of the recording with calls in JSON and in Protobuf. */
const CONNECTIONS = [0, 2];

interface Exchange {
  readonly request: Fields;
  readonly answer: Fields;
}

const fieldsOf = (frames: Buffer[]): Fields[] => frames.map((bytes) => parseFrame(bytes) as Fields);

const EXCHANGES: readonly Exchange[] = CONNECTIONS.flatMap((connection) => {
  const answers = fieldsOf(recordedFrames(connection, 'server-to-client'));
  return fieldsOf(recordedFrames(connection, 'client-to-server')).flatMap((request) => {
    const answer = answers.find(({ sequence }) => sequence === request.sequence);
    return request.command === 3 && answer !== undefined ? [{ request, answer }] : [];
  });
});

/** The name of the method in the header of a recorded request. */
const methodOf = ({ head }: Fields): string =>
  /(?:Test|Add|Err)(?!Service)/.exec(`${head}`)?.[0] ?? '';

/** Ends the session of a request that is not in the recording, as Go does for unknown methods. */
export function serveAsGo(): Promise<RawServer> {
  return RawServer.serve({}, (frame, peer) => {
    if (frame.command !== 3) return;
    const found = EXCHANGES.find(
      ({ request }) =>
        request.codec === frame.codec &&
        `${frame.head}`.includes('TestService') &&
        `${frame.head}`.includes(methodOf(request)) &&
        request.body.equals(frame.body),
    );
    if (found === undefined) peer.session.destroy();
    else
      peer.session.write(
        withTags(found.answer.bytes, {
          sequence: frame.sequence,
          logId: frame.logId,
          serviceId: frame.serviceId,
        }),
      );
  });
}
