/** The page: its bar, and the view that the hash of the URL names. */
import { CallView } from './call/call-view.js';
import { h, setClass, setText } from './dom.js';
import { FleetStore } from './fleet-store.js';
import type { View } from './parts.js';
import { link, parseRoute } from './router.js';
import { themeSwitch } from './theme.js';
import { EventsView } from './views/events.js';
import { NodeView } from './views/node.js';
import { Overview } from './views/overview.js';
import { ServiceView } from './views/service.js';

const LINKS = [
  ['', 'Overview'],
  ['call', 'Call'],
  ['events', 'Events'],
] as const;

class Page {
  readonly #store: FleetStore;
  readonly #target = h('span', { class: 'target' });
  readonly #status = h('span', { class: 'state', role: 'status' });
  readonly #statusText = h('span');
  readonly #banner = h('p', { class: 'banner', role: 'alert', hidden: true });
  readonly #main = h('main', { id: 'main' });
  readonly #links = LINKS.map(([path, text]) => h('a', { href: link(path) }, text));
  #view: View | undefined;
  /** The hash of `#view`. */
  #hash: string | undefined;

  constructor() {
    this.#store = new FleetStore(() => this.#update());
    this.#status.append(h('span', { class: 'dot', 'aria-hidden': 'true' }), this.#statusText);
    this.#main.append(h('p', { class: 'empty loading' }, 'Connecting to the console …'));
    document.body.append(
      h('a', { class: 'skip', href: '#main' }, 'Skip to the content'),
      h(
        'header',
        { class: 'bar' },
        h('a', { class: 'brand', href: link('') }, 'getty console'),
        h('nav', { 'aria-label': 'Views' }, ...this.#links),
        h('div', { class: 'bar-end' }, this.#target, this.#status, themeSwitch()),
      ),
      this.#banner,
      this.#main,
    );
    document.querySelector('.skip')?.addEventListener('click', (event) => {
      event.preventDefault();
      this.#main.querySelector<HTMLElement>('h1')?.focus();
    });
    addEventListener('hashchange', () => {
      this.#route(true);
      this.#update();
    });
  }

  start(): void {
    void this.#store.run();
  }

  #update(): void {
    const { update } = this.#store;
    const problem = problemOf(this.#store);
    this.#banner.hidden = problem === '';
    setText(this.#banner, problem);
    setClass(this.#main, problem !== '' && update !== undefined ? 'stale' : '');
    if (update === undefined) {
      const loading = this.#main.querySelector('.loading');
      if (loading !== null && problem !== '') setText(loading, 'The console is not connected.');
      return;
    }
    const { target } = update;
    setText(this.#target, target.url);
    const isRegistry = target.kind === 'registry';
    setText(
      this.#statusText,
      target.isAway ? 'registry away' : isRegistry ? 'registry ok' : 'one server',
    );
    setClass(this.#status, `state ${target.isAway ? 'bad' : 'good'}`);
    this.#status.title = target.reason;
    if (this.#view === undefined) this.#route(false);
    this.#view?.update();
  }

  /** `hasMoved`: the user has followed a link, so the focus moves to the new view. */
  #route(hasMoved: boolean): void {
    if (this.#store.update === undefined || location.hash === this.#hash) return;
    this.#hash = location.hash;
    this.#view?.close?.();
    const view = this.#createView();
    this.#view = view;
    this.#main.replaceChildren(view?.element ?? notFound());
    document.title = `${view?.title ?? 'Not found'} · getty console`;
    LINKS.forEach(([, text], at) => {
      if (view?.title === text) this.#links[at]?.setAttribute('aria-current', 'page');
      else this.#links[at]?.removeAttribute('aria-current');
    });
    if (!hasMoved) return;
    scrollTo(0, 0);
    this.#main.querySelector<HTMLElement>('h1')?.focus();
  }

  #createView(): View | undefined {
    const route = parseRoute(location.hash);
    switch (route.view) {
      case 'overview':
        return new Overview(this.#store);
      case 'service':
        return new ServiceView(this.#store, route.name, route.version);
      case 'node':
        return new NodeView(this.#store, route.key);
      case 'call':
        return new CallView(this.#store, route);
      case 'events':
        return new EventsView(this.#store);
      default:
        return undefined;
    }
  }
}

/** Why the data is not live; empty if it is. */
function problemOf({ state, failure }: FleetStore): string {
  if (state === 'refused')
    return 'This console needs a token: open the address that its command has printed.';
  if (state === 'lost')
    return `The process of the console does not answer; the page tries again (${failure})`;
  return '';
}

function notFound(): HTMLElement {
  return h(
    'div',
    {},
    h('h1', { tabindex: '-1' }, 'Not found'),
    h('p', {}, 'There is no such view. ', h('a', { href: link('') }, 'Go to the overview')),
  );
}

// The page has read the token. It must not stay in the history of the browser.
if (location.search !== '') history.replaceState(null, '', `${location.pathname}${location.hash}`);
new Page().start();
