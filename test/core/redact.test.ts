import { expect, it } from 'vitest';
import { redactUrl, showUrl } from '../../src/core/redact.js';
import { processorTime } from '../fixtures/waiting.js';

it.each([
  ['tcp://127.0.0.1:80', 'tcp://127.0.0.1:80'],
  ['tcp://[fe80::1%eth0]:80', 'tcp://[fe80::1%eth0]:80'],
  ['memory://name', 'memory://name'],
  ['unix:///srv/@a/b:c', 'unix:///srv/@a/b:c'],
  ['unix://@abstract', 'unix://@abstract'],
  ['file:///srv/a@b', 'file:///srv/a@b'],
  ['ws://host/@user/path', 'ws://host/@user/path'],
  ['etcd://a:1,[::1]:2,c/root', 'etcd://a:1,[::1]:2,c/root'],
  ['host:2181,other/chroot', 'host:2181,other/chroot'],
  ['', ''],
])('redactUrl() does not change %j, a URL without secrets', (text, expected) => {
  expect(redactUrl(text)).toBe(expected);
});

it.each([
  ['ws://me:secret@host/path', 'ws://***@host/path'],
  ['ws://secret@host', 'ws://***@host'],
  ['ws://me:se@secret@host:1', 'ws://***@host:1'],
  ['ws://host?token=secret', 'ws://host?***'],
  ['ws://host/a?token=se@cret', 'ws://host/a?***'],
  ['ws://me:secret@host/a?token=secret#secret', 'ws://***@host/a?***'],
  ['ws://host#secret', 'ws://host#***'],
  ['unix:///srv/a?token=secret', 'unix:///srv/a?***'],
  ['etcd://me:secret@a:1,b:2/root', 'etcd://***@a:1,b:2/root'],
  ['me:secret@host:2181', '***@host:2181'],
])('redactUrl() hides the secrets of the URL %j', (text, expected) => {
  expect(redactUrl(text)).toBe(expected);
});

it.each([
  ['tcp://me:secret@host:99999', 'tcp://***@host:99999'],
  ['tcp://me:sec/ret@host:1', 'tcp://***@host:1'],
  ['tcp://me:sec?ret@host:1', 'tcp://***'],
  ['tcp://me:sec#ret@host:1', 'tcp://***'],
  ['tcp://me:sec ret@host:1', 'tcp://***@host:1'],
  ['tcp://me:secret@', 'tcp://***@'],
  ['tcp:me:secret@host', '***@host'],
  ['tcp//me:secret@host', '***@host'],
  [' TCP://me:secret@host', ' TCP://***@host'],
  ['unix://me:secret@/srv/a', 'unix://***@/srv/a'],
  ['tcp://me:secret\n@host', 'tcp://***@host'],
])('redactUrl() hides possible secrets of %j, which is no URL', (text, expected) => {
  expect(redactUrl(text)).toBe(expected);
});

it('showUrl() does not show the content of objects', () => {
  expect(redactUrl(undefined)).toBe(undefined);
  expect(showUrl(new URL('ws://me:secret@host'))).toBe('an object');
  expect(showUrl(['ws://me:secret@host'])).toBe('an array');
  expect(showUrl('ws://me:secret@host')).toBe('"ws://***@host"');
});

it('redactUrl() takes no quadratic time for long texts', () => {
  const milliseconds = processorTime(() => {
    for (const part of [' ', '@', ':', ',', 'a', '/', '[', '?@'])
      redactUrl(`tcp://${part.repeat(1_000_000)}x y`);
  });
  expect(milliseconds).toBeLessThan(10_000);
});
