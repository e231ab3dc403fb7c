/**
 * How many objects a message of a schema counts as, for `maxDecodedObjects` and `maxPendingBytes`.
 * One object stands for 64 bytes of memory and about 0.25 µs.
 */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { mayBeDouble } from './scalars.js';
import { IMPLICIT } from './types.js';

/** The counts of one empty message: create() and the compiled decoder set all its fields. */
export interface MessageCounts {
  /** The message, and its lists, maps and oneofs. */
  readonly containers: number;
  /** The words of 8 bytes that its other fields take. */
  readonly words: number;
  /** The objects of a message that compiled code makes: `containers`, and more for `words`. */
  readonly objects: number;
  /** The objects that the message takes in addition, in memory only, when protobuf-es makes it. */
  readonly libraryObjects: number;
}

const WORDS_PER_OBJECT = 8;
/** V8 keeps a number that is no 32-bit integer outside of the message, in two words. */
const NUMBER_WORDS = 3;
/** V8 copies the properties after so many each time that one is added. */
const MAX_IN_OBJECT = 250;
/**
 * protobuf-es sets properties by their name. After so many, V8 converts the message to a
 * dictionary, which takes up to 74 bytes for each property.
 */
const MAX_FAST_PROPERTIES = 12;
/**
 * Fields with presence are added in the order of the bytes, and V8 makes a hidden class for each
 * new order. From so many fields on there are thousands of orders, so each value counts one more.
 */
const MANY_PRESENCE_FIELDS = 5;
/** From so many fields on a hidden class takes twice the time. */
const VERY_MANY_PRESENCE_FIELDS = 48;

const countsBySchema = new WeakMap<DescMessage, MessageCounts>();
const presenceCounts = new WeakMap<DescMessage, number>();

export function countsOf(schema: DescMessage): MessageCounts {
  let counts = countsBySchema.get(schema);
  if (counts === undefined) {
    counts = makeCounts(schema);
    countsBySchema.set(schema, counts);
  }
  return counts;
}

function makeCounts({ members }: DescMessage): MessageCounts {
  let containers = 1;
  let words = 0;
  let properties = 0;
  for (const member of members) {
    if (member.kind === 'oneof' || member.fieldKind === 'list' || member.fieldKind === 'map')
      containers++;
    else if (member.presence === IMPLICIT) words += mayBeDouble(member) ? NUMBER_WORDS : 1;
    else continue;
    properties++;
  }
  return {
    containers,
    words,
    objects:
      containers + Math.round(words / WORDS_PER_OBJECT) + Math.max(0, properties - MAX_IN_OBJECT),
    libraryObjects: properties > MAX_FAST_PROPERTIES ? properties : 0,
  };
}

/**
 * Returns how many objects a value of the field adds to those of the value itself. A value without
 * objects of its own, such as a 32-bit integer, adds at least one to a field with presence.
 */
export function presenceCountOf(field: DescField, hasObjects: boolean): number {
  if (!hasPresence(field)) return 0;
  let count = presenceCounts.get(field.parent);
  if (count === undefined) {
    const fields = field.parent.fields.filter(hasPresence).length;
    count = Number(fields >= MANY_PRESENCE_FIELDS) + Number(fields >= VERY_MANY_PRESENCE_FIELDS);
    presenceCounts.set(field.parent, count);
  }
  return hasObjects ? count : count + 1;
}

function hasPresence(field: DescField): boolean {
  return (
    field.fieldKind !== 'list' &&
    field.fieldKind !== 'map' &&
    field.oneof === undefined &&
    field.presence !== IMPLICIT
  );
}
