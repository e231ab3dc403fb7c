/** Descriptor sets as files, as `buf build -o` writes them. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, type DescFile, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

/** Writes a file with `files` and their imports into `folder`, and returns its path. */
export async function writeDescriptorSet(
  folder: string,
  ...files: readonly DescFile[]
): Promise<string> {
  const all = new Map<string, DescFile>();
  const add = (file: DescFile): void => {
    for (const dependency of file.dependencies) add(dependency);
    all.set(file.name, file);
  };
  for (const file of files) add(file);
  const set = create(FileDescriptorSetSchema, {
    file: [...all.values()].map(({ proto }) => proto),
  });
  const path = join(folder, 'set.binpb');
  await writeFile(path, toBinary(FileDescriptorSetSchema, set));
  return path;
}
