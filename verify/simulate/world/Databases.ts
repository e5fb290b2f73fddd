/** The databases of a world as one object, which mutations change and the network wraps. */
import { Effect, Layer } from "effect"
import { BlobDatabase, CollectorDatabase } from "../../../src/database/Database.ts"
import * as MemoryDatabase from "../../../src/database/Memory.ts"
import * as RegistryMemory from "../../../src/oci/database/Memory.ts"
import { RegistryDatabase } from "../../../src/oci/database/RegistryDatabase.ts"
import type { VerbOf } from "../../../src/testing/FaultyDatabase.ts"

/** The services that {@link services} provides. */
export type Services = BlobDatabase | CollectorDatabase | RegistryDatabase

/** Every verb of the three services. */
export type Databases = CollectorDatabase["Service"] &
  RegistryDatabase["Service"] & { readonly blobs: BlobDatabase["Service"] }

/** A verb by its full name. */
export type Verb = VerbOf<Databases>

/** Returns the databases over `rows`. */
export const make = (rows: RegistryMemory.RegistryState): Databases =>
  Effect.runSync(
    Effect.gen(function* () {
      const collector = yield* CollectorDatabase
      return { ...collector, ...(yield* RegistryDatabase), blobs: yield* BlobDatabase }
    }).pipe(Effect.provide([MemoryDatabase.layerOf(rows), RegistryMemory.layer(rows)]))
  )

/** Provides the three services. */
export const services = ({
  blobs,
  keys,
  manifests,
  retention,
  sessions,
  sizes,
  ...collector
}: Databases): Layer.Layer<Services> =>
  Layer.mergeAll(
    Layer.succeed(CollectorDatabase, collector),
    Layer.succeed(BlobDatabase, blobs),
    Layer.succeed(RegistryDatabase, { keys, manifests, retention, sessions, sizes })
  )
