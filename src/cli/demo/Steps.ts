/** The steps of the demonstration. */
import { createHash } from "node:crypto"
import { Duration, Effect, Layer, Stream } from "effect"
import { Artifacts, type Reference } from "../../artifacts/Artifacts.ts"
import { BlobStore } from "../../blobs/BlobStore.ts"
import type { Configuration } from "../../config/Config.ts"
import { type Digest, fromSha256Hex } from "../../domain/Digest.ts"
import { ObjectKey } from "../../domain/ObjectKey.ts"
import { Storage } from "../../storage/Storage.ts"
import { defaultSettings } from "../../sweep/Settings.ts"
import { Sweep } from "../../sweep/Sweep.ts"
import * as Print from "../Print.ts"
import * as Text from "../Text.ts"
import type { TravelClock } from "./TravelClock.ts"
import * as Tree from "./Tree.ts"
import { type Findings, isGood, verify } from "./Verification.ts"

/** Maximum size of an imported file. Larger ones (binaries of other platforms) would only make it slower. */
const fileBytesMax = 4 * 1024 * 1024
/** Uploads per call: three transactions for all of them. */
const uploadsMax = 200
/** Selects one folder of the tree in three by its name, so that each run gives the same result. */
const isDropped = (repository: string): boolean =>
  Buffer.from(repository).reduce((a, b) => a + b, 0) % 3 === 0

/** The defaults, whatever is configured: with other waits, the number of sweeps would differ. */
const { grace, quarantine } = defaultSettings

/** Runs the demonstration, and returns whether every check succeeded. */
export const run = (config: Configuration, clock: TravelClock, tree: string, json: boolean) =>
  Effect.provide(
    // The service that may follow has other settings, and would refuse beside a collector that is still at work.
    Effect.tap(steps(config, clock, tree, json), () => Effect.flatMap(Sweep, (sweep) => sweep.leave)),
    Layer.merge(
      Artifacts.layer(config.names),
      Sweep.layerUnchecked({
        ...defaultSettings,
        uploadPrefix: config.sweep.uploadPrefix,
        blobPrefix: config.blobPrefix,
        // It drops a third of everything at once, which would trip the breaker.
        breakerPercent: 100
      })
    )
  )

const steps = Effect.fnUntraced(function* (
  config: Configuration,
  clock: TravelClock,
  tree: string,
  json: boolean
) {
  const say = (text: string) => (json ? Effect.void : Print.text(text))
  const { uploadPrefix } = config.sweep
  const staged = yield* stageUploads(uploadPrefix, "stale", 40)
  yield* say(`Yesterday: ${staged.size} chunks of unfinished pushes were staged below ${uploadPrefix}.`)

  clock.travel(Duration.hours(26))
  yield* say(`Importing ${tree} …`)
  const imported = yield* importTree(tree)
  yield* say(
    `${Text.count(imported.files)} files are ${Text.count(imported.digests.size)} different blobs, ${Text.bytes(imported.storedBytes)} stored of ${Text.bytes(imported.bytes)}.`
  )
  const dropped = yield* dropReferences(imported.references)
  const kept = new Set(dropped.remaining.map((reference) => reference.digest))
  const gone = new Set([...imported.digests].filter((digest) => !kept.has(digest)))
  yield* say(
    `One folder in three is dropped: ${Text.count(dropped.removed)} references were deleted, and ${Text.count(gone.size)} blobs have none left. Equal files in other folders keep the other blobs.`
  )

  yield* say("\nFirst sweep. It finds the orphans for the first time, so they wait for their grace period:")
  yield* sweepOnce(say)
  clock.travel(Duration.sum(grace, Duration.minutes(1)))
  yield* say(
    `\n${Text.span(Duration.toMillis(grace))} later the orphans are condemned. One reference would still save them:`
  )
  yield* sweepOnce(say)
  const saved = yield* saveOne(gone)
  if (saved !== null) {
    gone.delete(saved)
    kept.add(saved)
    yield* say(
      `\nA client pushes ${saved.slice(0, 19)}… again. Its bytes still exist, so none are sent, and the blob is saved.`
    )
  }
  const fresh = yield* stageUploads(uploadPrefix, "fresh", 10)
  const young = yield* orphanBlob()
  kept.add(young)
  yield* say(
    `A push is under way (${fresh.size} staged chunks), and one blob has just lost its only reference.`
  )
  clock.travel(Duration.sum(quarantine, Duration.minutes(1)))
  yield* say(`\n${Text.span(Duration.toMillis(quarantine))} later the quarantine is over:`)
  const report = yield* sweepOnce(say)

  const findings = yield* verify({
    kept,
    gone,
    staged: fresh,
    uploadPrefix,
    blobPrefix: config.blobPrefix
  })
  const good = isGood(findings) && report.outcome === "complete"
  yield* json ? Print.json({ good, findings, report }) : say(verdict(findings, good))
  return good
})

const verdict = (f: Findings, good: boolean): string =>
  [
    "",
    "Everything read back:",
    `  ${Text.count(f.readable)} blobs to keep are readable and hash to their digest, ${f.unreadable} are not`,
    `  ${Text.count(f.goneRows)} orphans are deleted from the catalogue, ${f.remainingRows} remain`,
    `  ${Text.count(f.objects)} objects in the store, ${f.leakedObjects} of them without an owner`,
    `  ${f.stagedKept} fresh staged chunks kept, ${f.stagedWrong} wrongly kept or lost`,
    good ? "Every check succeeded." : "A check FAILED. Please report it with the output above."
  ].join("\n")

/** Stages the chunks of four upload sessions. */
const stageUploads = Effect.fnUntraced(function* (prefix: string, name: string, chunks: number) {
  const storage = yield* Storage
  const keys = Array.from({ length: chunks }, (_, i) =>
    ObjectKey.make(`${prefix}${name}-${i % 4}/${String(i).padStart(4, "0")}`)
  )
  const chunk = new Uint8Array(64 * 1024)
  yield* Effect.forEach(keys, (key) => storage.put(key, Stream.succeed(chunk), chunk.length), {
    concurrency: 8
  })
  return new Set<string>(keys)
})

/**
 * Refers to every file as an artifact, and to one in seven as a local file too: two tables refer to its blob.
 */
const referencesTo = (file: Tree.TreeFile, index: number): ReadonlyArray<Reference> => {
  const artifact: Reference = {
    _tag: "Artifact",
    repository: file.repository,
    name: file.name,
    digest: file.digest
  }
  return index % 7 === 0
    ? [artifact, { _tag: "LocalFile", path: file.name, digest: file.digest }]
    : [artifact]
}

const importTree = Effect.fnUntraced(function* (tree: string) {
  const [store, artifacts] = [yield* BlobStore, yield* Artifacts]
  const references: Array<Reference> = []
  const digests = new Set<Digest>()
  const counted = { files: 0, bytes: 0, storedBytes: 0 }
  yield* Tree.files(tree, fileBytesMax).pipe(
    Stream.grouped(uploadsMax),
    Stream.runForEach((files) =>
      Effect.gen(function* () {
        const uploads = files.map(Tree.upload)
        const added = files.flatMap((file) => referencesTo(file, counted.files++))
        const outcomes = yield* store.putAll(uploads, { commit: () => artifacts.add(added) })
        for (const [i, upload] of uploads.entries()) {
          counted.bytes += upload.sizeBytes
          if (outcomes[i] === "uploaded") counted.storedBytes += upload.sizeBytes
          digests.add(upload.digest)
        }
        references.push(...added)
      })
    )
  )
  return { ...counted, references, digests }
})

const dropReferences = Effect.fnUntraced(function* (references: ReadonlyArray<Reference>) {
  const artifacts = yield* Artifacts
  const dropped = references.filter((r) => r._tag === "Artifact" && isDropped(r.repository))
  const removed = yield* artifacts.unreference(dropped)
  const gone = new Set(dropped)
  return { removed, remaining: references.filter((reference) => !gone.has(reference)) }
})

const sweepOnce = Effect.fnUntraced(function* (say: (text: string) => Effect.Effect<void>) {
  const sweep = yield* Sweep
  const report = yield* sweep.once()
  yield* say(Text.report(report))
  return report
})

/** Adopts a condemned blob, as a push of the same bytes does. */
const saveOne = Effect.fnUntraced(function* (condemned: ReadonlySet<Digest>) {
  const artifacts = yield* Artifacts
  const [digest] = condemned
  if (digest === undefined) return null
  yield* artifacts.reference([{ _tag: "Artifact", repository: "saved", name: "saved", digest }])
  return digest
})

/** Stores a blob that loses its reference at once. */
const orphanBlob = Effect.fnUntraced(function* () {
  const [store, artifacts] = [yield* BlobStore, yield* Artifacts]
  const body = new TextEncoder().encode("young and unreferenced\n")
  const digest = fromSha256Hex(createHash("sha256").update(body).digest("hex"))
  const reference: Reference = { _tag: "Artifact", repository: "young", name: "young", digest }
  yield* store.put(Stream.succeed(body), {
    digest,
    sizeBytes: body.length,
    commit: () => artifacts.add([reference])
  })
  yield* artifacts.unreference([reference])
  return digest
})
