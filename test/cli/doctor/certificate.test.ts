/** What is wrong with a certificate. */
import type { PeerCertificate } from 'node:tls';
import { expect, test } from 'vitest';
import { judge } from '../../../src/cli/doctor/certificate.js';

const CERTIFICATE = {
  subject: { CN: 'a.example' },
  subjectaltname: 'DNS:a.example, IP Address:10.0.0.1',
  valid_from: 'Jan  1 00:00:00 2030 GMT',
  valid_to: 'Mar  1 00:00:00 2030 GMT',
} as PeerCertificate;

test.each([
  ['a.example', '2030-01-15', 'ok', undefined],
  ['10.0.0.1', '2030-01-15', 'ok', undefined],
  ['b.example', '2030-01-15', 'failed', /not for b\.example/],
  ['a.example', '2029-12-31', 'failed', /not valid yet/],
  ['a.example', '2030-03-02', 'failed', /has expired/],
  ['a.example', '2030-02-20', 'warning', /within 9 days/],
])('for %s on %s it is %s', (host, day, status, advice) => {
  const check = judge(CERTIFICATE, host, Date.parse(`${day}T00:00:00Z`));
  expect(check.status).toBe(status);
  expect(check.detail).toBe('for DNS:a.example, IP Address:10.0.0.1, until 2030-03-01');
  if (advice === undefined) expect(check.advice).toBeUndefined();
  else expect(check.advice).toMatch(advice);
});
