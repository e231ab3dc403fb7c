/** The testing kit: tools for tests of programs that use this package. */
export {
  CODEC_CASES_DEFAULTS,
  type CodecCasesOptions,
  codecCases,
  type TestCase,
} from './codec-cases.js';
