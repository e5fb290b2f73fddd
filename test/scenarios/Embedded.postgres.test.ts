import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer } from "effect"
import * as Files from "../../src/storage/Files.ts"
import * as Databases from "../fixtures/Databases.ts"
import { sameAsMemory, withParts } from "./SameAsMemory.contract.ts"

/** A store in a new directory, which is removed with its scope. */
const files = Layer.unwrap(
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "artifact-gc-scenarios-"))),
      (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
    ),
    (directory) => Files.layer({ directory, durable: false })
  )
)

sameAsMemory("embedded PostgreSQL and files", {
  layer: Layer.merge(Databases.postgres(Databases.embedded), withParts(files))
})
