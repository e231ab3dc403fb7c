/** Compares what a codec has read with what it has written. */
import { counted, describeError, fail, shown } from './assertion.js';
import type { Decoded } from './codec-driver.js';

/**
 * Throws an AssertionError unless `decoded` has the messages that were sent. `where`: the chunks in
 * which they arrived. `isIncomplete`: bytes may be left over.
 */
export function expectMessages<In, Out>(
  sent: readonly Out[],
  { messages, error, unread }: Decoded<In>,
  equals: (sent: Out, received: In) => boolean,
  where: string,
  isIncomplete: boolean,
): void {
  const differ = (what: string): never => fail(`${where}: ${what}`, sent, messages, error);
  if (error !== undefined) differ(`read() failed with ${describeError(error)}`);
  if (isIncomplete && messages.length > sent.length)
    differ(`read() returned ${shown(messages[0])}, expected a wait for more bytes`);
  const changed = messages.findIndex(
    (message, at) => at < sent.length && !equals(sent[at] as Out, message),
  );
  if (changed >= 0) {
    const which = sent.length > 1 ? `message ${changed + 1} of ${sent.length}` : 'the message';
    differ(
      `${which} arrived changed: sent ${shown(sent[changed])}, received ${shown(messages[changed])}`,
    );
  }
  if (messages.length !== sent.length) {
    const left = unread > 0 ? `, and no message from the last ${counted(unread, 'byte')}` : '';
    const found = `read() returned ${counted(messages.length, 'message')}${left}`;
    differ(`${found}; sent: ${counted(sent.length, 'message')}`);
  }
  if (!isIncomplete && unread > 0) {
    const what = `${where}: read() left ${counted(unread, 'byte')} that write() had written`;
    fail(what, 0, unread);
  }
}
