/** The lines of the server of notes. Every command is one line, and so is every answer. */
import { type EventListener, lines, type Session, type StartTlsOptions } from 'getty-ts';

export const codec = lines();

/** Commands of clients that have no TLS yet. */
export function greeter(tls: StartTlsOptions): EventListener<string> {
  return {
    onOpen: (session) => void session.write('220 notes'),
    onMessage(session, line) {
      if (line !== 'STARTTLS') return void session.write('530 first STARTTLS');
      session.write('220 ready');
      // Bytes that have arrived behind this line end the session: see docs/transport.md, section 8.
      return begin(session, tls);
    },
    onError: (session, error) => console.error(`${session.remoteAddress}: ${error.message}`),
  };
}

async function begin(session: Session<string>, tls: StartTlsOptions): Promise<void> {
  // The listener changes first, so that no line after the handshake reaches the former one.
  session.use({ listener: notes() });
  await session.startTls(tls).catch(() => {}); // onError has received the error
}

/** Commands of clients with TLS. The notes end with their session. */
function notes(): EventListener<string> {
  const kept: string[] = [];
  return {
    onMessage(session, line) {
      const [, command = '', text = ''] = /^(\S*) ?(.*)$/.exec(line) ?? [];
      if (command === 'ADD' && kept.length < 100) {
        kept.push(text);
        session.write(`250 ${kept.length}`);
      } else if (command === 'LIST') session.write(`250 ${kept.join(', ')}`);
      else if (command === 'QUIT') void session.close();
      else session.write('500 unknown command, or too many notes');
    },
    onError: (session, error) => console.error(`${session.remoteAddress}: ${error.message}`),
  };
}
