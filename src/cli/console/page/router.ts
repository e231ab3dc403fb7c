/** The routes of the page, in the hash of its URL, so that a view can be linked. */

export type Route =
  | { readonly view: 'overview' }
  | { readonly view: 'service'; readonly name: string; readonly version: string }
  | { readonly view: 'node'; readonly key: string }
  | {
      readonly view: 'call';
      readonly node: string;
      readonly service: string;
      readonly version: string;
      readonly method: string;
    }
  | { readonly view: 'events' }
  | { readonly view: 'unknown' };

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const get = new URLSearchParams(query);
  const text = (name: string): string => get.get(name) ?? '';
  switch (path) {
    case '':
      return { view: 'overview' };
    case 'service':
      return { view: 'service', name: text('name'), version: text('version') };
    case 'node':
      return { view: 'node', key: text('key') };
    case 'call':
      return {
        view: 'call',
        node: text('node'),
        service: text('service'),
        version: text('version'),
        method: text('method'),
      };
    case 'events':
      return { view: 'events' };
    default:
      return { view: 'unknown' };
  }
}

/** A link to a view. Empty parameters are left out. */
export function link(path: string, parameters: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams(
    Object.entries(parameters).filter(([, value]) => value !== ''),
  ).toString();
  return `#/${path}${query === '' ? '' : `?${query}`}`;
}

export const serviceLink = (name: string, version: string): string =>
  link('service', { name, version });
export const nodeLink = (key: string): string => link('node', { key });
