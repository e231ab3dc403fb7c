/** The page: a client of the tasks, with a service of its own that the server calls. */
import { connect, implement, type RpcClient, RpcError } from 'getty-ts/web/rpc';
import { Page, type Task, Tasks } from '../contract.js';

const AGAIN_AFTER = 2_000;

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
  // One connection: the server tells something to each that it has.
  const options = {
    connections: 1,
    services: [page],
    onReady,
    reconnect: { maxDelay: AGAIN_AFTER },
  };
  client = connect(address, options);
  // The first attempt is the caller's: later ones are made by the client.
  client.catch(() => {
    showState('down', 'trying again');
    setTimeout(start, AGAIN_AFTER);
  });
}

/**
 * The connection is there, or is lost. A stream ends with its connection, so it is begun anew with
 * each.
 */
function onReady(ready: boolean): void {
  if (ready) showState('ready', 'connected');
  else showState('down', 'trying again');
  if (ready) void watch();
}

async function watch(): Promise<void> {
  try {
    const stub = await service();
    for await (const tasks of stub.watch()) showTasks(tasks);
  } catch {
    // The connection is lost: onReady tells when there is another.
  }
}

async function service() {
  if (client === undefined) throw new Error('not connected');
  return (await client).stub(Tasks);
}

/** Do something with the service; what it fails with is shown. */
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

// ---- what is shown ----

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
