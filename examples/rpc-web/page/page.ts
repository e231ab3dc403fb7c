/** The page: a client of the task service that also offers a service to the server. */
import { connect, implement, type RpcClient, RpcError } from 'getty-ts/web/rpc';
import { Page, type Task, Tasks } from '../contract.js';

/** Milliseconds. */
const MAX_RECONNECT_DELAY = 2_000;

const element = <T extends HTMLElement = HTMLElement>(id: string): T =>
  document.getElementById(id) as T;
const show = (id: string, text: string): void => {
  element(id).textContent = text;
};
const address = document.querySelector<HTMLMetaElement>('meta[name=service]')?.content ?? '';
let client: Promise<RpcClient> | undefined;

// ---- the client ----

const page = implement(Page, { say: (text) => show('said', text) });

function start(): void {
  showState('connecting', 'connecting');
  // One connection: the server calls the page once for each connection.
  const options = {
    connections: 1,
    services: [page],
    onReady,
    reconnect: { maxDelay: MAX_RECONNECT_DELAY },
  };
  client = connect(address, options);
  // connect() makes one attempt; after the first connection the client reconnects by itself.
  client.catch(() => {
    showState('down', 'reconnecting');
    setTimeout(start, MAX_RECONNECT_DELAY);
  });
}

/** A stream ends with its connection, so each connection starts a new one. */
function onReady(ready: boolean): void {
  if (ready) showState('ready', 'connected');
  else showState('down', 'reconnecting');
  if (ready) void watch();
}

async function watch(): Promise<void> {
  try {
    const stub = await service();
    for await (const tasks of stub.watch()) showTasks(tasks);
  } catch {
    // The connection is lost. onReady() is called for the next one.
  }
}

async function service() {
  if (client === undefined) throw new Error('not connected');
  return (await client).stub(Tasks);
}

/** Runs `work` with the service, and shows its error. */
async function attempt(
  work: (stub: Awaited<ReturnType<typeof service>>) => Promise<unknown>,
): Promise<boolean> {
  show('problem', '');
  try {
    await work(await service());
    return true;
  } catch (error) {
    show('problem', error instanceof RpcError ? `${error.message} (${error.code})` : String(error));
    return false;
  }
}

// ---- the page ----

function showState(state: string, text: string): void {
  element('state').dataset.state = state;
  show('state', text);
  for (const control of document.querySelectorAll<HTMLButtonElement | HTMLInputElement>(
    'button, li input',
  ))
    control.disabled = state !== 'ready';
}

function showTasks(tasks: readonly Task[]): void {
  element('tasks').replaceChildren(...tasks.map(row));
  const left = tasks.filter(({ done }) => !done).length;
  show('left', tasks.length === 0 ? 'No tasks yet.' : `${left} of ${tasks.length} left`);
  if (left > 0) show('said', '');
}

function row({ id, text, done }: Task): HTMLLIElement {
  const box = document.createElement('input');
  box.type = 'checkbox';
  box.checked = done;
  box.addEventListener('change', () => void attempt((stub) => stub.toggle(id)));
  const label = document.createElement('label');
  const words = document.createElement('span');
  words.textContent = text;
  label.append(box, words);
  const item = document.createElement('li');
  item.append(label);
  return item;
}

show('address', address);
element<HTMLFormElement>('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const input = element<HTMLInputElement>('text');
  if (await attempt((stub) => stub.add(input.value))) input.value = '';
});
start();
