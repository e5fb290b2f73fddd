/** Names that the blocks of docstrings use without an import. */
import * as root from "artifact-gc"
import * as testing from "artifact-gc/testing"
import * as effect from "effect"
import { SqlClient } from "effect/sql"

/** The first module that exports a name has it. */
const modules: Readonly<Record<string, ReadonlyArray<string>>> = {
  "artifact-gc": Object.keys(root),
  "artifact-gc/testing": Object.keys(testing),
  effect: Object.keys(effect),
  "effect/sql": Object.keys({ SqlClient })
}

/** Returns the imports of the names that the code uses and does not import, as one line. Every block may use `Effect`. */
export const importsOf = (code: string): string => {
  const used = new Set(["Effect", ...[...code.matchAll(/(?<![.\w])[A-Z]\w*/g)].map(([name]) => name)])
  for (const [, names] of code.matchAll(/^import \{ (.*) \} from/gm))
    for (const name of (names ?? "").split(", ")) used.delete(name)
  return Object.entries(modules)
    .map(([module, names]) => {
      const taken = names.filter((name) => used.delete(name))
      return `import { ${taken.join(", ")} } from "${module}"`
    })
    .join("; ")
}

/** What a reader takes for granted: the app around a block. By the file whose docstring has the block. */
export const assumed: Readonly<Record<string, string>> = {
  "src/blobs/Put.ts":
    'declare const sql: SqlClient.SqlClient; declare const ticket: number; declare const body: Stream.Stream<Uint8Array>; declare const blobs: (typeof BlobStore.BlobStore)["Service"]',
  "src/domain/SweepReport.ts":
    "declare const report: SweepReport.SweepReport; declare const page: (text: string) => Effect.Effect<void>",
  "src/storage/OwnStore.ts": "declare const { read, write, remove, list, head }: Storage.OwnStore",
  "src/sweep/ReferenceSource.ts":
    'declare class Redis extends Context.Service<Redis, { readonly keep: (command: string, key: string, digests: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string>> }>()("Redis") {}',
  "src/testing/FaultyStorage.ts": "declare const key: ObjectKey.ObjectKey",
  "src/testing/StorageContract.ts": "declare const MyStore: { readonly layer: Layer.Layer<Storage.Storage> }",
  "src/testing/Time.ts": 'declare const sweep: (typeof Sweep.Sweep)["Service"]',
  "src/testing/simulation/Actors.ts": "declare const bytes: Uint8Array",
  "src/testing/simulation/Gate.ts":
    "interface Mailbox { readonly send: (text: string) => Effect.Effect<void, MailboxDown> } declare class MailboxDown extends Error {} declare const inMemoryMailbox: Mailbox",
  "src/testing/simulation/Simulation.ts":
    "declare const upload: Effect.Effect<void>; declare const removeSome: Effect.Effect<void>; declare const Attachments: { readonly inMemory: Layer.Layer<never> }; declare const everyAttachmentHasItsBlob: () => null"
}
