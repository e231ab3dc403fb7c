/** The page: a client of the echo server, and the figures that it shows. */
import { ByteWriter, type Client, type ClientState, connect, type Session } from 'getty-ts/web';
import { COMMAND, type EchoMessage, echoCodec } from '../../echo/codec.js';

/** Milliseconds. */
const HEARTBEAT_PERIOD = 5_000;
/** Milliseconds. */
const MAX_RECONNECT_DELAY = 2_000;
const SHOWN_MESSAGES = 8;
/** Round trips from which the median is computed. */
const MAX_TRIPS = 500;

const element = <T extends HTMLElement = HTMLElement>(id: string): T =>
  document.getElementById(id) as T;
const show = (id: string, text: string): void => {
  element(id).textContent = text;
};
const milliseconds = (ms: number): string => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
const count = (number: number): string => number.toLocaleString('en');

const address = document.querySelector<HTMLMetaElement>('meta[name=echo]')?.content ?? '';
let client: Client<EchoMessage> | undefined;
let sequence = 0;
let sent = 0;
let answered = 0;
let heartbeats = 0;
/** By sequence, when each unanswered message of the present session was sent. */
const sendTimes = new Map<number, number>();
/** The latest round trips in ms. */
const trips: number[] = [];
const rows: { number: number; text: string; trip?: number }[] = [];
let lastMessage: EchoMessage | undefined;
let isScheduled = false;

// ---- the client ----

function sendHeartbeat(session: Session<EchoMessage>): void {
  sequence++;
  sendTimes.set(sequence, performance.now());
  session.write({ logId: 0, sequence, command: COMMAND.heartbeat, text: 'ping' });
}

const listener = {
  onOpen: sendHeartbeat,
  // A browser cannot send WebSocket pings.
  onCron: sendHeartbeat,
  onMessage(_: unknown, { sequence: number, command, text }: EchoMessage): void {
    const sendTime = sendTimes.get(number);
    if (sendTime === undefined) return;
    sendTimes.delete(number);
    const trip = performance.now() - sendTime;
    if (command === COMMAND.heartbeat) {
      heartbeats++;
      show('heartbeat', milliseconds(trip));
      show('beats', `${count(heartbeats)} × “${text}”`);
      return;
    }
    answered++;
    trips.push(trip);
    if (trips.length > MAX_TRIPS) trips.shift();
    const row = rows.find((one) => one.number === number);
    if (row !== undefined) row.trip = trip;
    draw();
  },
  onClose(): void {
    sendTimes.clear();
    draw();
  },
};

const STATES: Readonly<Record<ClientState, string>> = {
  connecting: 'connecting',
  ready: 'connected',
  down: 'reconnecting',
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
    client = await connect(address, setup, {
      onState,
      reconnect: { maxDelay: MAX_RECONNECT_DELAY },
    });
  } catch (error) {
    // connect() makes one attempt; after the first connection the client reconnects by itself.
    onState('down', error as Error);
    setTimeout(start, MAX_RECONNECT_DELAY);
  }
}

function write(session: Session<EchoMessage>, text: string): boolean {
  const message: EchoMessage = {
    logId: crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
    sequence: sequence + 1,
    command: COMMAND.echo,
    text,
  };
  const mayContinue = session.write(message);
  sequence++;
  sent++;
  sendTimes.set(sequence, performance.now());
  rows.unshift({ number: sequence, text });
  rows.length = Math.min(rows.length, SHOWN_MESSAGES);
  lastMessage = message;
  draw();
  return mayContinue;
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

/** The bytes of a message on the wire. */
function hexOf(message: EchoMessage): string {
  const output = new ByteWriter();
  echoCodec.write(output, message, undefined as never);
  return Array.from(output.bytes.subarray(0, output.length), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}

// ---- the page ----

/** At most once per animation frame. */
function draw(): void {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
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

/** The fields of a frame: their bytes and the CSS class that shows their kind. */
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
