/** Calls a method: the node and method, the argument, and the reply. */
import { messageOf } from '../../../../core/errors.js';
import { type CallableRow, type CallRequest, isAnswering, type NodeRow } from '../../types.js';
import { button, h, newId, setText } from '../dom.js';
import type { FleetStore } from '../fleet-store.js';
import { serviceName } from '../format.js';
import { METHOD_KINDS, section, type View } from '../parts.js';
import { link, type Route } from '../router.js';
import { ArgumentInput } from './argument-input.js';
import { CallRun } from './call-run.js';
import { CallSettings } from './call-settings.js';
import { asCommand, asTypeScript } from './copied-text.js';

type CallRoute = Extract<Route, { view: 'call' }>;

export class CallView implements View {
  readonly title = 'Call';
  readonly element: HTMLElement;
  readonly #store: FleetStore;
  readonly #route: CallRoute;
  readonly #node = h('select', { id: newId() });
  readonly #method = h('select', { id: newId() });
  readonly #note = h('p', { class: 'note', role: 'status' });
  readonly #form = h('form', { class: 'call-form' });
  readonly #result = h('div', { class: 'result' });
  #nodeKeys = '';
  #methods: readonly CallableRow[] = [];
  #chosen: CallableRow | undefined;
  #argument: ArgumentInput | undefined;
  #settings: CallSettings | undefined;
  #run: CallRun | undefined;

  constructor(store: FleetStore, route: CallRoute) {
    this.#store = store;
    this.#route = route;
    this.#node.addEventListener('change', () => void this.#loadMethods());
    this.#method.addEventListener('change', () => this.#choose());
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#send();
    });
    this.#result.append(h('p', { class: 'empty' }, 'The reply is shown here.'));
    this.element = h(
      'div',
      {},
      h('h1', { tabindex: '-1', class: 'hidden' }, 'Call'),
      h(
        'div',
        { class: 'columns call' },
        section(
          'Call',
          h(
            'div',
            { class: 'pickers' },
            h('div', { class: 'field' }, h('label', { for: this.#node.id }, 'Node'), this.#node),
            h(
              'div',
              { class: 'field' },
              h('label', { for: this.#method.id }, 'Method'),
              this.#method,
            ),
          ),
          this.#note,
          this.#form,
        ),
        section('Reply', this.#result),
      ),
    );
  }

  update(): void {
    const nodes = (this.#store.update?.nodes ?? []).filter(({ state }) => state !== 'gone');
    const keys = nodes.map(({ key, state }) => `${key} ${state}`).join('\n');
    if (keys === this.#nodeKeys) return;
    this.#nodeKeys = keys;
    const before = this.#node.value || this.#route.node;
    this.#node.replaceChildren(...nodes.map(nodeOption));
    const wanted =
      nodes.find(({ key }) => key === before) ??
      nodes.find(({ state, services }) => isAnswering(state) && this.#offers(services)) ??
      nodes.find(({ state }) => isAnswering(state)) ??
      nodes[0];
    this.#node.value = wanted?.key ?? '';
    if (nodes.length === 0) setText(this.#note, 'There are no nodes to call.');
    if (this.#node.value !== before || this.#methods.length === 0) void this.#loadMethods();
  }

  #offers(services: NodeRow['services']): boolean {
    const { service } = this.#route;
    return service === '' || services.some(({ name }) => name === service);
  }

  async #loadMethods(): Promise<void> {
    const node = this.#node.value;
    if (node === '' || this.#store.state !== 'live') return;
    if (this.#methods.length === 0) setText(this.#note, 'Asking the node for its methods …');
    try {
      const methods = await this.#store.console.methods({ node });
      if (node !== this.#node.value) return;
      this.#methods = methods;
      setText(this.#note, methods.length === 0 ? 'The node offers no method.' : '');
    } catch (error) {
      if (node !== this.#node.value) return;
      this.#methods = [];
      setText(this.#note, `The node does not describe its methods: ${messageOf(error)}`);
    }
    this.#showMethods();
  }

  #showMethods(): void {
    const { service, version, method } = this.#chosen ?? this.#route;
    const wanted = this.#methods.findIndex(
      (each) =>
        each.service === service &&
        each.method === method &&
        (version === '' || each.version === version),
    );
    const groups = new Map<string, HTMLElement>();
    this.#methods.forEach((each, at) => {
      const label = serviceName({ name: each.service, version: each.version });
      const group = groups.get(label) ?? h('optgroup', { label });
      groups.set(label, group);
      group.append(h('option', { value: String(at) }, methodText(each)));
    });
    this.#method.replaceChildren(...groups.values());
    this.#method.value = this.#methods.length === 0 ? '' : String(Math.max(0, wanted));
    this.#choose();
  }

  #choose(): void {
    const chosen = this.#methods[Number(this.#method.value || Number.NaN)];
    // A node that is asked again must not take away what the user has typed.
    if (chosen !== undefined && JSON.stringify(chosen) === JSON.stringify(this.#chosen)) return;
    this.#chosen = chosen;
    this.#run?.cancel();
    this.#run = undefined;
    this.#form.replaceChildren();
    if (chosen === undefined) return;
    const { service, version, method } = chosen;
    history.replaceState(
      null,
      '',
      link('call', { node: this.#node.value, service, version, method }),
    );
    this.#argument = new ArgumentInput(chosen);
    this.#settings = new CallSettings(
      chosen.timeout === undefined ? 'the default' : String(chosen.timeout),
    );
    this.#form.append(
      this.#argument.element,
      this.#settings.element,
      h(
        'div',
        { class: 'actions' },
        h(
          'button',
          { type: 'submit', class: 'primary' },
          isClientStream(chosen) ? 'Start' : 'Call',
        ),
        button('Copy as TypeScript', () => void this.#copy(asTypeScript)),
        button('Copy as command', () => void this.#copy(asCommand)),
      ),
    );
  }

  #request(chosen: CallableRow): CallRequest {
    const { service, version, method, kind, codecs } = chosen;
    return {
      node: this.#node.value,
      service,
      version,
      method,
      kind,
      codec: codecs.includes('json') ? 'json' : (codecs[0] ?? 'json'),
      metadata: this.#settings?.metadata ?? {},
      timeout: this.#settings?.timeout,
      token: this.#settings?.token,
    };
  }

  /** The request and the argument; undefined, and an error on the page, if something is wrong. */
  #read(): { request: CallRequest; argument: string; chosen: CallableRow } | undefined {
    const chosen = this.#chosen;
    if (chosen === undefined) return undefined;
    try {
      const argument = this.#argument?.read() ?? '';
      return { request: this.#request(chosen), argument, chosen };
    } catch (error) {
      this.#argument?.setError(messageOf(error));
      return undefined;
    }
  }

  async #send(): Promise<void> {
    const read = this.#read();
    if (read === undefined) return;
    const { request, argument, chosen } = read;
    this.#run?.cancel();
    const run = new CallRun(request);
    this.#run = run;
    const controls = h('div', { class: 'actions' });
    if (isClientStream(chosen))
      controls.append(
        button('Send message', () => {
          const next = this.#read();
          if (next !== undefined) run.send(next.argument);
        }),
        button('End input', () => run.endInput()),
      );
    else {
      run.send(argument);
      run.endInput();
    }
    controls.append(button('Cancel', () => run.cancel()));
    this.#result.replaceChildren(controls, run.element);
    await run.run(this.#store);
    controls.remove();
  }

  async #copy(textOf: typeof asCommand): Promise<void> {
    const read = this.#read();
    if (read === undefined) return;
    const { request, argument } = read;
    const text = textOf({ address: request.node, request, argument });
    let title = 'Copied:';
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // The browser allows it only on this machine or over TLS.
      title = 'The browser does not allow to copy; this is the text:';
    }
    if (this.#run?.isRunning === true) return;
    this.#result.replaceChildren(
      h('p', { class: 'note', role: 'status' }, title),
      h('pre', { tabindex: '0', class: 'copied' }, text),
    );
  }

  close(): void {
    this.#run?.cancel();
  }
}

const isClientStream = ({ kind }: CallableRow): boolean =>
  kind === 'clientStream' || kind === 'duplex';

function methodText({ method, kind }: CallableRow): string {
  return kind === 'unary' ? method : `${method} (${METHOD_KINDS[kind]})`;
}

function nodeOption({ key, id, state }: NodeRow): HTMLElement {
  return h('option', { value: key }, `${id} · ${key}${isAnswering(state) ? '' : ` (${state})`}`);
}
