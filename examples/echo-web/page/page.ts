/** The page: a client of the echo, as examples/echo has one, and what it shows of it. */
import { ByteWriter, type Client, type ClientState, connect, type Session } from 'getty-ts/web';
import { COMMAND, type EchoPackage, echoCodec } from '../../echo/codec.js';

const HEARTBEAT_PERIOD = 5_000;
const AGAIN_AFTER = 2_000;
const SHOWN = 8;
const MEASURED = 500;

const element = <T extends HTMLElement = HTMLElement>(id: string): T =>
  document.getElementById(id) as T;
const show = (id: string, text: string): void => {
  element(id).textContent = text;
};
const milliseconds = (ms: number): string => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
const count = (number: number): string => number.toLocaleString('en');

const address = document.querySelector<HTMLMetaElement>('meta[name=echo]')?.content ?? '';
let client: Client<EchoPackage> | undefined;
let sequence = 0;
let sent = 0;
let answered = 0;
let beats = 0;
/**
 * When each message left whose answer is not there, by its sequence. Those of a lost session are
 * forgotten.
 */
const waiting = new Map<number, number>();
/** The latest round trips in ms. */
const trips: number[] = [];
const rows: { number: number; text: string; trip?: number }[] = [];
let lastMessage: EchoPackage | undefined;
let scheduled = false;

// ---- the client ----

function beat(session: Session<EchoPackage>): void {
  sequence++;
  waiting.set(sequence, performance.now());
  session.write({ logId: 0, sequence, command: COMMAND.heartbeat, text: 'ping' });
}

const listener = {
  onOpen: beat,
  // A browser sends no pings of its own.
  onCron: beat,
  onMessage(_: unknown, { sequence: number, command, text }: EchoPackage): void {
    const left = waiting.get(number);
    if (left === undefined) return;
    waiting.delete(number);
    const trip = performance.now() - left;
    if (command === COMMAND.heartbeat) {
      beats++;
      show('heartbeat', milliseconds(trip));
      show('beats', `${count(beats)} × “${text}”`);
      return;
    }
    answered++;
    trips.push(trip);
    if (trips.length > MEASURED) trips.shift();
    const row = rows.find((one) => one.number === number);
    if (row !== undefined) row.trip = trip;
    draw();
  },
  onClose(): void {
    waiting.clear();
    draw();
  },
};

const STATES: Readonly<Record<ClientState, string>> = {
  connecting: 'connecting',
  ready: 'connected',
  down: 'trying again',
  closed: 'closed',
};

function onState(state: ClientState, reason?: Error): void {
  element('state').dataset.state = state;
  show('state', STATES[state]);
  show('reason', state === 'ready' ? '' : (reason?.message ?? ''));
  for (const button of document.querySelectorAll('button')) button.disabled = state !== 'ready';
}

async function start(): Promise<void> {
  onState('connecting');
  try {
    const setup = {
      codec: echoCodec,
      listener,
      cronPeriod: HEARTBEAT_PERIOD,
      idleTimeout: 3 * HEARTBEAT_PERIOD,
    };
    client = await connect(address, setup, { onState, reconnect: { maxDelay: AGAIN_AFTER } });
  } catch (error) {
    // The first attempt is the caller's: later ones are made by the client.
    onState('down', error as Error);
    setTimeout(start, AGAIN_AFTER);
  }
}

function write(session: Session<EchoPackage>, text: string): boolean {
  const message: EchoPackage = {
    logId: crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
    sequence: sequence + 1,
    command: COMMAND.echo,
    text,
  };
  const goOn = session.write(message);
  sequence++;
  sent++;
  waiting.set(sequence, performance.now());
  rows.unshift({ number: sequence, text });
  rows.length = Math.min(rows.length, SHOWN);
  lastMessage = message;
  draw();
  return goOn;
}

async function send(times: number): Promise<void> {
  show('problem', '');
  try {
    const session = await client?.session();
    for (let i = 0; session !== undefined && i < times; i++) {
      if (!write(session, element<HTMLInputElement>('text').value)) await session.drained();
    }
  } catch (error) {
    show('problem', (error as Error).message);
  }
}

/** The bytes of a message, as the session writes them. */
function hexOf(message: EchoPackage): string {
  const output = new ByteWriter();
  echoCodec.write(output, message, undefined as never);
  return Array.from(output.bytes.subarray(0, output.length), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}

// ---- what is shown ----

/** Once a frame, however much happens. */
function draw(): void {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    drawNow();
  });
}

function drawNow(): void {
  show('sent', count(sent));
  show('answered', count(answered));
  const open = sent - answered;
  show('missing', open === 0 ? 'none is under way' : `${count(open)} without an answer`);
  const last = trips.at(-1);
  if (last !== undefined) {
    const sorted = trips.toSorted((a, b) => a - b);
    show('trip', milliseconds(last));
    show('median', `median ${milliseconds(sorted[Math.floor(sorted.length / 2)] ?? 0)}`);
  }
  if (rows.length > 0) element('log').replaceChildren(...rows.map(tableRow));
  if (lastMessage !== undefined) drawWire(hexOf(lastMessage));
}

function tableRow({
  number,
  text,
  trip,
}: {
  number: number;
  text: string;
  trip?: number;
}): HTMLTableRowElement {
  const row = document.createElement('tr');
  const cells: [name: string, content: string][] = [
    ['number', `${number}`],
    ['', text],
    ['number', trip === undefined ? '…' : milliseconds(trip)],
  ];
  for (const [name, content] of cells) {
    const cell = row.insertCell();
    cell.className = name;
    cell.textContent = content;
  }
  return row;
}

/** The parts of a package: their bytes, what they are, and how they are shown. */
const PARTS: readonly [bytes: number, kind: string][] = [
  [4, 'header'],
  [4, 'varies'],
  [4, 'varies'],
  [4, 'header'],
  [4, 'header'],
  [4, 'header'],
  [2, 'varies'],
  [6, 'header'],
  [1, 'varies'],
  [255, 'body'],
];

function drawWire(hex: string): void {
  const spans: HTMLSpanElement[] = [];
  let at = 0;
  for (const [bytes, kind] of PARTS) {
    const span = document.createElement('span');
    span.className = kind;
    span.textContent = hex.slice(at, at + 2 * bytes);
    at += 2 * bytes;
    spans.push(span);
  }
  element('wire').replaceChildren(...spans);
  show(
    'legend',
    'magic · log id · sequence · service id · command · code · length · zeros · length of the text · text',
  );
}

show('address', address);
element<HTMLFormElement>('form').addEventListener('submit', (event) => {
  event.preventDefault();
  void send(1);
});
element('many').addEventListener('click', () => void send(1_000));
void start();
