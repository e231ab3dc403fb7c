// @ts-check
/**
 * Compares getty's compiled Protobuf codec with the library's own, in one process:
 * `npm run bench -- codec`. The message has three short strings. Both sides have prepared messages
 * and take turns. Getty's codec writes into one buffer, as in a session, and returns to its start
 * when it is full.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { protobufCodec } from '../dist/rpc/codecs/protobuf/codec.js';
import { ByteWriter, WRITER_SIZES } from '../dist/transport/buffers/byte-writer.js';
import { TestRequestSchema } from './message.mjs';
import { median } from './processes.mjs';
import { printRow, tableHead } from './table.mjs';

/** @typedef {import('./table.mjs').Row} Row */
/** Different messages, so that neither side is measured with one constant message. */
const MESSAGES = 64;
/** Messages between two reads of the clock. */
const BATCH = 6_400;
const WORDS = [
  'northern',
  'sidewalk',
  'umbrella',
  'mountain',
  'notebook',
  'keyboard',
  'sunshine',
  'birthday',
];

const word = (/** @type {number} */ index) => /** @type {string} */ (WORDS[index % WORDS.length]);
const messages = Array.from({ length: MESSAGES }, (_, i) =>
  create(TestRequestSchema, { A: word(i), B: word(i >> 3), C: word(i + (i >> 3)) }),
);
const encoded = messages.map((message) => Buffer.from(toBinary(TestRequestSchema, message)));
const codec = protobufCodec(TestRequestSchema);
const writer = new ByteWriter(WRITER_SIZES[2]);

/** Each returns a number that depends on every message, so that V8 cannot remove any work. */
const SIDES = {
  encode: {
    ours() {
      let sum = 0;
      for (let i = 0; i < BATCH; i++) {
        if (writer.length > writer.bytes.length - 1024) writer.length = 0;
        const start = writer.length;
        codec.encode(writer, /** @type {any} */ (messages[i % MESSAGES]));
        sum += writer.length - start;
      }
      return sum;
    },
    theirs() {
      let sum = 0;
      for (let i = 0; i < BATCH; i++)
        sum += toBinary(TestRequestSchema, /** @type {any} */ (messages[i % MESSAGES])).length;
      return sum;
    },
  },
  decode: {
    ours() {
      let sum = 0;
      for (let i = 0; i < BATCH; i++) {
        const bytes = /** @type {Buffer} */ (encoded[i % MESSAGES]);
        sum += lengths(codec.decode(bytes, 0, bytes.length));
      }
      return sum;
    },
    theirs() {
      let sum = 0;
      for (let i = 0; i < BATCH; i++)
        sum += lengths(
          fromBinary(TestRequestSchema, /** @type {Buffer} */ (encoded[i % MESSAGES])),
        );
      return sum;
    },
  },
};

/** @param {any} message */
function lengths({ A, B, C }) {
  return A.length + B.length + C.length;
}

/**
 * Messages per second. @param {() => number} side @param {number} seconds @param {number} expected
 */
function rate(side, seconds, expected) {
  const began = performance.now();
  let batches = 0;
  let took = 0;
  for (; took < seconds * 1_000; took = performance.now() - began) {
    if (side() !== expected) throw new Error('a side skipped a message');
    batches++;
  }
  return (batches * BATCH * 1_000) / took;
}

/** Throws when the two codecs produce different bytes or different messages. */
function checkAgreement() {
  for (const [index, message] of messages.entries()) {
    const bytes = /** @type {Buffer} */ (encoded[index]);
    writer.length = 0;
    codec.encode(writer, message);
    if (bytes.compare(writer.bytes, 0, writer.length) !== 0) throw new Error('the bytes differ');
    const { A, B, C } = /** @type {any} */ (codec.decode(bytes, 0, bytes.length));
    if (A !== message.A || B !== message.B || C !== message.C)
      throw new Error('the messages differ');
  }
}

/** @param {{ rounds: number, seconds: number }} plan @returns {Row[]} */
function measure({ rounds, seconds }) {
  checkAgreement();
  return /** @type {const} */ (['encode', 'decode']).map((what) => {
    const { ours, theirs } = SIDES[what];
    const expected = theirs();
    const samples = Array.from({ length: rounds + 1 }, () => [
      rate(ours, seconds, expected),
      rate(theirs, seconds, expected),
    ]).slice(1);
    const [mine, others] = [0, 1].map((side) => samples.map((sample) => Number(sample[side])));
    return {
      what: `${what} a small Protobuf message ÷ protobuf-es, in one process`,
      ratio: median(mine ?? []) / median(others ?? []),
      ratios: samples.map(([a = 0, b = 0]) => a / b),
      least: what === 'encode' ? 6 : 3,
      samples,
    };
  });
}

// rpc.mjs passes two numbers; on the command line there are none.
const [rounds = 7, seconds = 0.2] = process.argv.slice(2).map(Number).filter(Number.isFinite);
const rows = measure({ rounds, seconds });
if (process.send !== undefined) process.send(rows);
else {
  tableHead();
  for (const row of rows) printRow(row);
}
