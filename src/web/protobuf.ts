/**
 * contract() for a page that speaks Protobuf: it takes a service that protoc-gen-es generated, and
 * needs `@bufbuild/protobuf`.
 */
export {
  contract,
  type DescriptorOptions,
  type SpecsOf,
} from '../rpc/contract/descriptor-contract.js';
