/** Compares two versions of an enum of Protobuf. */
import { type ChangeList, placeIn } from '../change-list.js';
import type { ProtobufEnum, ProtobufEnumValue, ServiceSnapshot } from '../snapshot.js';
import { isReserved } from './reserved.js';

type Enums = Pick<ServiceSnapshot, 'enums'>;

/** `service` and `hasJson` are as in ProtobufDiff. */
export class EnumDiff {
  readonly #before: Enums;
  readonly #after: Enums;
  readonly #service: string;
  readonly #hasJson: boolean;
  readonly #list: ChangeList;
  readonly #seen = new Set<string>();

  constructor(before: Enums, after: Enums, service: string, hasJson: boolean, list: ChangeList) {
    this.#before = before;
    this.#after = after;
    this.#service = service;
    this.#hasJson = hasJson;
    this.#list = list;
  }

  /** Compares two enums by their full names. Both snapshots must describe them. */
  compare(before: string, after: string): void {
    const key = `${before}\n${after}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    const from = this.#before.enums[before] as ProtobufEnum;
    const to = this.#after.enums[after] as ProtobufEnum;
    if (!this.#list.step(1 + from.values.length + to.values.length)) return;
    const where = placeIn(this.#service, ` ${after}`);
    if (before !== after) this.#list.add('protobuf-enum-renamed', where, `${before} → ${after}`);
    const wasClosed = from.isClosed === true;
    const isClosed = to.isClosed === true;
    if (wasClosed !== isClosed)
      this.#list.add(
        isClosed ? 'protobuf-enum-closed' : 'protobuf-enum-opened',
        where,
        isClosed ? 'open → closed' : 'closed → open',
      );
    this.#compareValues(from, to, where);
  }

  #compareValues(before: ProtobufEnum, after: ProtobufEnum, where: string): void {
    const numbersAfter = new Map(after.values.map((value) => [value.number, value]));
    const namesAfter = new Map(after.values.map((value) => [value.name, value]));
    const numbersBefore = new Set(before.values.map(({ number }) => number));
    const namesBefore = new Set(before.values.map(({ name }) => name));
    for (const value of before.values) {
      if (this.#list.isStopped) return;
      const at = placeIn(where, `.${value.name}`);
      const sameName = namesAfter.get(value.name);
      if (sameName !== undefined) {
        if (sameName.number !== value.number)
          this.#list.add(
            'protobuf-enum-value-number-changed',
            at,
            `${value.number} → ${sameName.number}`,
          );
        continue;
      }
      const renamed = numbersAfter.get(value.number);
      if (renamed !== undefined)
        this.#list.add(
          this.#hasJson ? 'protobuf-enum-value-renamed-json' : 'protobuf-enum-value-renamed',
          at,
          `${value.name} → ${renamed.name}`,
        );
      else
        this.#list.add(
          isReserved(after, value, this.#hasJson)
            ? 'protobuf-enum-value-removed'
            : 'protobuf-enum-value-removed-unreserved',
          at,
          `gone: ${valueText(value)}`,
        );
    }
    for (const value of after.values) {
      if (this.#list.isStopped) return;
      if (!numbersBefore.has(value.number) && !namesBefore.has(value.name))
        this.#list.add(
          'protobuf-enum-value-added',
          placeIn(where, `.${value.name}`),
          `new: ${valueText(value)}`,
        );
    }
  }
}

const valueText = ({ name, number }: ProtobufEnumValue): string => `${name} = ${number}`;
