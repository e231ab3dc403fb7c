import type { ConnectionWriter, WritingSession } from '../session/connection-writer.js';
import type { ReadingSession } from '../session/message-delivery.js';
import type { ResolvedSetup } from '../session/session-options.js';
import type { SessionReader } from '../session/session-reader.js';
import type { Connection } from '../types.js';

/** Makes the parts of a session that has a rate. They are undefined if their direction has none. */
export interface SessionRates {
  /** The arguments are those of SessionReader. */
  makeReader<In, Out>(
    session: ReadingSession<In, Out>,
    connection: Connection,
    setup: ResolvedSetup<In, Out>,
    opened: boolean,
  ): SessionReader<In, Out> | undefined;
  /** `onReleased` is called when bytes that waited were written to the connection. */
  makeWriter(
    connection: Connection,
    session: WritingSession,
    onReleased: () => void,
  ): ConnectionWriter | undefined;
}
