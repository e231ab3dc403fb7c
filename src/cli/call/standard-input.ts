/** Standard input as text. It may have no end, so its texts have a limit. */
import { UsageError } from '../failure.js';
import type { Terminal } from '../terminal.js';

/** An argument has up to 2 ** 26 bytes. In the JSON form of Protobuf, bytes are a third longer. */
const MAX_CHARACTERS = 2 ** 27;

/** All of standard input. Throws UsageError if it is too long. */
export async function readAll(terminal: Terminal): Promise<string> {
  let text = '';
  for await (const piece of piecesOf(terminal)) text = append(text, piece, 'standard input');
  return text;
}

/** The lines of standard input, without their ends. Throws UsageError if one is too long. */
export async function* linesOf(terminal: Terminal): AsyncGenerator<string> {
  let line = '';
  for await (const piece of piecesOf(terminal)) {
    // Only the piece is searched: a search of a long line for each of its pieces is quadratic.
    const [first = '', ...others] = piece.split('\n');
    line = append(line, first, 'a line of standard input');
    for (const next of others) {
      yield line;
      line = next;
    }
  }
  if (line !== '') yield line;
}

async function* piecesOf({ input }: Terminal): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  for await (const chunk of input)
    yield typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
  yield decoder.decode();
}

function append(text: string, piece: string, name: string): string {
  if (text.length + piece.length <= MAX_CHARACTERS) return text + piece;
  throw new UsageError(`${name} has more than ${MAX_CHARACTERS} characters`);
}
