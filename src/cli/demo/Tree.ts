/** The directory tree that the demonstration imports as artifacts. */
import { createHash } from "node:crypto"
import { createReadStream, existsSync } from "node:fs"
import { opendir, stat } from "node:fs/promises"
import { dirname, join, relative, sep } from "node:path"
import { fileURLToPath } from "node:url"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Schema, Stream } from "effect"
import type { Upload } from "../../blobs/BlobStore.ts"
import { type Digest, fromSha256Hex } from "../../domain/Digest.ts"

/** Says that the tree cannot be read. */
export class TreeUnreadable extends Schema.TaggedError<TreeUnreadable>()("TreeUnreadable", {
  path: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `Cannot read ${this.path}: ${this.cause instanceof Error ? this.cause.message : this.cause}. Nothing was deleted. Name a readable directory with --tree.`
  }
}

/** A file of the tree, hashed. */
export interface TreeFile {
  /** Path on this machine. */
  readonly path: string
  /** Path below the tree's root, with slashes. */
  readonly name: string
  /** Its artifact repository: the first folder of its name, or the first two for scoped packages. */
  readonly repository: string
  /** Digest of its bytes. */
  readonly digest: Digest
  /** Size in bytes. */
  readonly sizeBytes: number
}

/** Returns the directory of this program's dependencies: thousands of small files, many of them equal. */
export const defaultTree = (): string => {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (directory !== dirname(directory)) {
    const candidate = join(directory, "node_modules")
    if (existsSync(candidate)) return candidate
    directory = dirname(directory)
  }
  return process.cwd()
}

/** Lists and hashes the regular files of the tree up to `maxBytes` each. Links are not followed. */
export const files = (root: string, maxBytes: number): Stream.Stream<TreeFile, TreeUnreadable> =>
  Stream.fromAsyncIterable(walk(root), (cause) => new TreeUnreadable({ path: root, cause })).pipe(
    Stream.mapEffect((path) => hashed(root, path), { concurrency: 8 }),
    Stream.filter((file) => file.sizeBytes <= maxBytes)
  )

async function* walk(directory: string): AsyncGenerator<string> {
  for await (const entry of await opendir(directory)) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) yield* walk(path)
    else if (entry.isFile()) yield path
  }
}

const hashed = (root: string, path: string) =>
  Effect.tryPromise({
    try: async (): Promise<TreeFile> => {
      const hash = createHash("sha256")
      const { size } = await stat(path)
      for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array)
      const parts = relative(root, path).split(sep)
      return {
        path,
        name: parts.join("/"),
        repository: parts.slice(0, parts[0]?.startsWith("@") === true ? 2 : 1).join("/"),
        digest: fromSha256Hex(hash.digest("hex")),
        sizeBytes: size
      }
    },
    catch: (cause) => new TreeUnreadable({ path, cause })
  })

/** Returns the file as an upload. */
export const upload = (file: TreeFile): Upload<TreeUnreadable, never> => ({
  digest: file.digest,
  sizeBytes: file.sizeBytes,
  body: NodeStream.fromReadable({
    evaluate: () => createReadStream(file.path),
    onError: (cause) => new TreeUnreadable({ path: file.path, cause })
  })
})
