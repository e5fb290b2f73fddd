/** A registry and its collector over PostgreSQL and a store in memory, and what a release does with them. */
import { Duration, Effect, Layer } from "effect"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import * as Postgres from "../../../src/database/Postgres.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import * as RegistryPostgres from "../../../src/oci/database/Postgres.ts"
import { registryPhases } from "../../../src/oci/RegistryPhases.ts"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { Uploads } from "../../../src/oci/Uploads.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { ask, site } from "../../fixtures/oci/Site.ts"
import { begin, digestOf, image, imageType, putManifest, withDigest } from "../../fixtures/oci/Stored.ts"
import { type Recorded, type Release, recording } from "./Recorded.ts"

/** Migrates as the chart's Job does. */
export const migrate = RegistryPostgres.migrate(defaultNames, { createCatalog: "artifacts", registry: true })

/** The registry, a replica of it, and its collector. Nothing waits. */
export const services = Layer.mergeAll(
  site(),
  Sweep.layer({
    phases: registryPhases,
    grace: Duration.zero,
    quarantine: Duration.zero,
    untaggedGrace: Duration.zero,
    uploadGrace: "1 hour"
  })
).pipe(
  Layer.provideMerge(Layer.mergeAll(Uploads.layer({ hold: Duration.seconds(1) }), Repositories.layer())),
  Layer.provideMerge(BlobStore.layer()),
  Layer.provideMerge(Layer.mergeAll(Postgres.layer(), RegistryPostgres.layer(), MemoryStorage.layer))
)

const accepted =
  (statuses: ReadonlyArray<number>) =>
  <A extends { readonly status: number; readonly body: Buffer }, E, R>(answer: Effect.Effect<A, E, R>) =>
    Effect.tap(answer, ({ body, status }) =>
      statuses.includes(status) ? Effect.void : Effect.die(new Error(`${status}: ${body}`))
    )

const push = (repository: string, layer: string, tags: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const manifest = yield* image(repository, layer)
    for (const tag of tags) yield* putManifest(repository, tag, manifest).pipe(accepted([201]))
  })

const deleteTag = (repository: string, tag: string) =>
  ask(`/v2/${repository}/manifests/${tag}`, { method: "DELETE" }).pipe(accepted([202]))

const sweepOnce = Effect.flatMap(Sweep, (sweep) => sweep.once())

/** Leaves tagged and untagged images, blobs that others need, garbage and an upload under way. */
export const life = Effect.gen(function* () {
  yield* push("team/web", "first", ["1", "latest"])
  yield* push("team/web", "second", ["2", "latest"])
  yield* push("team/api", "second", ["1"])
  yield* deleteTag("team/web", "1")
  yield* sweepOnce
  const location = yield* begin("team/web")
  yield* ask(location, { method: "PATCH", body: Buffer.from("half") }).pipe(accepted([202]))
})

/** What a replica does for clients. */
export const work = Effect.gen(function* () {
  yield* push("team/web", "third", ["3", "latest"])
  yield* push("team/new", "third", ["1"])
  yield* ask("/v2/team/web/manifests/latest", { headers: { accept: imageType } }).pipe(accepted([200]))
  yield* ask("/v2/team/web/tags/list").pipe(accepted([200]))
  yield* ask("/v2/_catalog").pipe(accepted([200]))
  yield* deleteTag("team/api", "1")
  const chunk = Buffer.from("a chunk")
  const location = yield* begin("team/web")
  const sent = yield* ask(location, { method: "PATCH", body: chunk }).pipe(accepted([202]))
  const next = sent.headers.get("location") ?? ""
  yield* ask(withDigest(next, digestOf(chunk)), { method: "PUT" }).pipe(accepted([201]))
})

/** Records what this program does. */
export const record = (place: Databases.Place) =>
  Effect.gen(function* () {
    const into = { tables: [], life: [], work: [] } as { readonly [K in keyof Release]: Array<Recorded> }
    const client = Databases.client(place)
    yield* recording(Effect.provide(migrate, client), into.tables)
    // The requests of a server run on fibers of its own, so each part has a server.
    const run = (part: typeof life | typeof work, statements: Array<Recorded>) =>
      recording(Effect.scoped(Effect.provide(part, services.pipe(Layer.provide(client)))), statements)
    yield* run(life, into.life)
    yield* run(work, into.work)
    return into satisfies Release as Release
  })
