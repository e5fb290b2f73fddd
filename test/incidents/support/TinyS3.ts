/**
 * An S3 server of a few lines for the stories: objects and their versions in a map, answers as the protocol has them. A
 * test says which requests are answered otherwise.
 */
import { Context, Duration, Effect, Layer } from "effect"
import { Database } from "../../../src/database/Database.ts"
import * as MemoryDatabase from "../../../src/database/Memory.ts"
import { Digest } from "../../../src/domain/Digest.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { S3Options } from "../../../src/storage/S3.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import type { SweepSettings } from "../../../src/sweep/Settings.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { storeThat } from "../../storage/s3/harness.ts"
import {
  type Answer,
  type Asked,
  deleteXml,
  errorXml,
  listXml,
  reply,
  uploadsXml
} from "../../storage/s3/stub.ts"

export interface TinyState {
  /** When each object was last written, as a listing says it. */
  readonly objects: Map<string, string>
  /** What HEAD says the time is; default, the time. */
  date: string | null
}

/** What a request is for. */
export type Purpose = "batch" | "single" | "list" | "uploads" | "clock" | "versioning" | "lock"

const purposeOf = ({ method, url }: Asked): Purpose => {
  const query = new URL(url, "http://x").searchParams
  if (method === "HEAD") return "clock"
  if (query.has("versioning")) return "versioning"
  if (query.has("object-lock")) return "lock"
  if (query.has("uploads")) return "uploads"
  if (query.has("delete")) return "batch"
  return method === "DELETE" ? "single" : "list"
}

/** Answers otherwise, or undefined. Of a batch, `keys` are those that it names. */
export type Otherwise = (purpose: Purpose, keys: ReadonlyArray<string>, asked: Asked) => Answer | undefined

const keysOf = (asked: Asked): ReadonlyArray<string> =>
  [...asked.body.toString().matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => key ?? "")

const answer =
  (state: TinyState, counts: Map<Purpose, number>, otherwise: Otherwise): Answer =>
  async (asked, response, request) => {
    for await (const chunk of request) asked.chunks.push(chunk)
    const { pathname, searchParams } = new URL(asked.url, "http://x")
    const key = decodeURIComponent(pathname.slice("/bucket/".length))
    const purpose = purposeOf(asked)
    counts.set(purpose, (counts.get(purpose) ?? 0) + 1)
    const keys = purpose === "single" ? [key] : keysOf(asked)
    const usual: Record<Purpose, () => Answer> = {
      batch: () => {
        for (const name of keys) state.objects.delete(name)
        return reply(200, deleteXml(keys, []))
      },
      single: () => {
        state.objects.delete(key)
        return reply(204)
      },
      list: () => {
        const found = [...state.objects].filter(([name]) => name.startsWith(searchParams.get("prefix") ?? ""))
        const time = (written: string) => `<LastModified>${written}</LastModified>`
        return reply(
          200,
          listXml(found.sort().map(([name, written]) => ({ key: name, time: time(written) })))
        )
      },
      uploads: () => reply(200, uploadsXml([])),
      clock: () => reply(200, "", state.date === null ? {} : { date: state.date }),
      versioning: () => reply(200, "<VersioningConfiguration></VersioningConfiguration>"),
      lock: () => reply(404, errorXml("ObjectLockConfigurationNotFoundError"))
    }
    await (otherwise(purpose, keys, asked) ?? usual[purpose]())(asked, response, request)
  }

/** Time-outs that virtual time, which passes quickly here, does not reach. */
const patient = { requestTimeout: Duration.hours(1), retryWithin: Duration.hours(1) }

const hasty: Partial<SweepSettings> = {
  grace: Duration.zero,
  quarantine: Duration.zero,
  breakerPercent: 100,
  maxDuration: Duration.days(1)
}

/** A catalogue in memory with `orphans` whose objects are in the store, and a sweep over both. */
export const tinyS3 = Effect.fnUntraced(function* (
  orphans: number,
  options: {
    readonly otherwise?: Otherwise
    readonly s3?: Partial<S3Options>
    readonly settings?: Partial<SweepSettings>
  } = {}
) {
  const state: TinyState = { objects: new Map(), date: null }
  const counts = new Map<Purpose, number>()
  const { storage } = yield* storeThat([answer(state, counts, options.otherwise ?? (() => undefined))], {
    ...patient,
    retries: 2,
    ...options.s3
  })
  const rows = MemoryDatabase.emptyState()
  for (let n = 0; n < orphans; n++) {
    const key = ObjectKey.make(`blobs/a${String(n).padStart(5, "0")}/1`)
    rows.blobs.set(Digest.make(`a${n}`), { key, sizeBytes: 1, createdAt: 0, lastUsedAt: 0 })
    state.objects.set(key, "2026-01-02T03:04:05.678Z")
  }
  const context = yield* Layer.build(
    Sweep.layer({ ...hasty, ...options.settings }).pipe(
      Layer.provideMerge(MemoryDatabase.layer(rows)),
      Layer.provide(Layer.succeed(Storage, storage))
    )
  )
  return {
    /** How often each kind of request came. */
    counts,
    state,
    rows,
    database: Context.get(context, Database),
    sweep: Context.get(context, Sweep)
  }
})
