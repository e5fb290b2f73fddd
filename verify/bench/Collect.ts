/**
 * What does a collection cost while clients push, and what does it lose? Half of the images are deleted, then collected, beside
 * `registry garbage-collect --delete-untagged` of distribution. A second collection finds nothing. A third one meets clients
 * that push again what was just deleted.
 *
 * distribution's manual wants a registry that is read-only meanwhile. This one must not be, so neither is it here.
 */
import { setTimeout } from "node:timers/promises"
import * as Collectors from "./collect/Collectors.ts"
import { blobsPerImage, type Image, imageOf, isWhole, push, remove } from "./collect/Images.ts"
import * as Bucket from "./harness/Bucket.ts"
import { type Answer, type Bench, ensure, type Figure, type Question } from "./harness/Question.ts"
import { repeat } from "./registry/Client.ts"
import * as Distribution from "./registry/Distribution.ts"
import * as Meter from "./upload/Meter.ts"
import * as Replica from "./upload/Replica.ts"

/** The question. */
export const question: Question = {
  name: "collect",
  asks: "a collection of half of the images while clients push, beside distribution's garbage-collect",
  options: {
    images: { about: "images before half of them is deleted, default 120" },
    runs: { about: "runs, default 1" }
  },
  ask: async (bench) => {
    const parameters = { images: bench.given.images ?? 120, runs: bench.given.runs ?? 1 }
    ensure(
      parameters.images >= 8 && parameters.images % 4 === 0,
      "--images must be a multiple of 4, and at least 8"
    )
    const rounds: Array<Round> = []
    for (let run = 1; run <= parameters.runs; run++) {
      const ours = await withOurs(bench, (one) => play(bench, one, parameters.images, `ours ${run}`))
      const theirs = await withTheirs(bench, (one) => play(bench, one, parameters.images, `theirs ${run}`))
      rounds.push({ ours, theirs })
    }
    return answer(parameters, rounds)
  }
}

/** A registry with its collector. */
interface Contender {
  readonly name: string
  readonly url: string
  /** Time from the deletion of an image until its blobs may be collected. */
  readonly waitMillis: number
  /** Runs before the collection that is measured: what a sighting needs. */
  readonly first: (() => Promise<Collectors.Taken>) | null
  readonly collect: () => Promise<Collectors.Taken>
  /** Returns how many blobs of the dead images the store still holds, if the live ones are whole. */
  readonly leaked: (dead: ReadonlyArray<Image>, live: ReadonlyArray<Image>) => Promise<number>
  readonly meter: Meter.Meter
}

/** What was measured of one contender. */
interface Outcome {
  readonly collection: Cost
  readonly idle: Cost
  /** Images that were pushed during the collection and acknowledged. */
  readonly pushed: number
  /** Of the images that should be whole after the collection, those that are not. */
  readonly lost: number
  /** Blobs of deleted images that the store still holds. */
  readonly leaked: number
  /** Images that were pushed again during a collection and acknowledged, and those of them that are whole. */
  readonly raced: number
  readonly racedWhole: number
}

interface Cost extends Collectors.Taken {
  readonly requests: number
}

interface Round {
  readonly ours: Outcome
  readonly theirs: Outcome | null
}

const namesOf = (what: string, count: number): ReadonlyArray<Image> =>
  Array.from({ length: count }, (_, index) => imageOf(`${what}-${index}`.replaceAll(" ", "-")))

const all = <A>(items: ReadonlyArray<A>, work: (item: A) => Promise<unknown>) =>
  repeat(items.length, 4, (index) => work(items[index] as A))

/** Adds the runs of a collection that needs two. */
const collection = async (
  { collect, first, meter }: Contender,
  beside: () => Promise<unknown>
): Promise<Cost> => {
  const requests = meter.requests()
  const before = first === null ? { millis: 0, cpuMillis: 0, peakBytes: 0 } : await first()
  if (first !== null) await setTimeout(1500)
  const [taken] = await Promise.all([collect(), beside()])
  return {
    millis: before.millis + taken.millis,
    cpuMillis: before.cpuMillis + taken.cpuMillis,
    peakBytes: Math.max(before.peakBytes, taken.peakBytes),
    requests: meter.requests() - requests
  }
}

const wholeOf = async (url: string, images: ReadonlyArray<Image>): Promise<number> => {
  let whole = 0
  await all(images, async (image) => {
    if (await isWhole(url, image)) whole += 1
  })
  return whole
}

const play = async (bench: Bench, contender: Contender, count: number, run: string): Promise<Outcome> => {
  const { meter, name, url, waitMillis } = contender
  const images = namesOf(`${run} old`, count)
  await all(images, async (image) => ensure(await push(url, image), "a push was refused"))
  const [dead, kept] = [images.slice(0, count / 2), images.slice(count / 2)]
  await all(dead, (image) => remove(url, image))
  await setTimeout(waitMillis)
  const fresh = namesOf(`${run} new`, count / 4)
  const acknowledged: Array<Image> = []
  // Distribution's requests to the store by its clients are part of the count, so the pushes of both are subtracted.
  const before = meter.requests()
  await all(namesOf(`${run} count`, count / 4), async (image) => push(url, image))
  const ofPushes = meter.requests() - before
  const cost = await collection(contender, () =>
    all(fresh, async (image) => {
      if (await push(url, image)) acknowledged.push(image)
    })
  )
  const live = [...kept, ...namesOf(`${run} count`, count / 4), ...acknowledged]
  const lost = live.length - (await wholeOf(url, live))
  const leaked = await contender.leaked(dead, live)
  await setTimeout(waitMillis)
  const idle = await collection({ ...contender, first: null }, async () => {})
  bench.log(`${name}: ${(cost.millis / 1000).toFixed(1)} s, lost ${lost}, leaked ${leaked}`)

  const again = kept.slice(0, count / 4)
  await all(again, (image) => remove(url, image))
  await setTimeout(waitMillis)
  const raced: Array<Image> = []
  await collection(contender, () =>
    all(again, async (image) => {
      if (await push(url, image)) raced.push(image)
    })
  )
  return {
    collection: { ...cost, requests: Math.max(1, cost.requests - ofPushes) },
    idle,
    pushed: acknowledged.length,
    lost,
    leaked,
    raced: raced.length,
    racedWhole: await wholeOf(url, raced)
  }
}

const withOurs = async (bench: Bench, work: (one: Contender) => Promise<Outcome>): Promise<Outcome> => {
  const meter = await Meter.start(bench.servers.s3.endpoint)
  const s3 = { ...bench.servers.s3, endpoint: meter.url }
  const databaseUrl = await Replica.freshDatabase(bench.servers)
  const replica = await Replica.start(databaseUrl, s3, bench.nodeOptions, Collectors.settings)
  const sweep = () => Collectors.run(Collectors.startSweep(databaseUrl, s3))
  const bucket = Bucket.open(bench.servers.s3)
  try {
    const before = (await bucket.keys("blobs/")).size
    return await work({
      name: "artifact-gc",
      url: replica.url,
      waitMillis: 6000,
      first: sweep,
      collect: sweep,
      // Keys are drawn at random, so all objects are counted. A manifest is one, too.
      leaked: async (_, live) =>
        (await bucket.keys("blobs/")).size - before - live.length * (blobsPerImage + 1),
      meter
    })
  } finally {
    bucket.close()
    await replica.stop()
    meter.close()
  }
}

const withTheirs = async (
  bench: Bench,
  work: (one: Contender) => Promise<Outcome>
): Promise<Outcome | null> => {
  const meter = await Meter.start(bench.servers.s3.endpoint)
  const distribution = await Distribution.start({ ...bench.servers.s3, endpoint: meter.url }, bench.log)
  const bucket = Bucket.open(bench.servers.s3)
  const prefix = "distribution/docker/registry/v2/blobs/"
  try {
    if (distribution === null) return null
    return await work({
      name: "distribution",
      url: distribution.url,
      waitMillis: 0,
      first: null,
      collect: () => Collectors.run(distribution.collect()),
      leaked: async (dead) => {
        const keys = await bucket.keys(prefix)
        const digests = dead.flatMap(({ blobs }) => blobs.map(([digest]) => digest.replace("sha256:", "")))
        return digests.filter((digest) => keys.has(`${prefix}sha256/${digest.slice(0, 2)}/${digest}/data`))
          .length
      },
      meter
    })
  } finally {
    bucket.close()
    await distribution?.stop()
    meter.close()
  }
}

const answer = (
  parameters: Readonly<Record<"images" | "runs", number>>,
  rounds: ReadonlyArray<Round>
): Answer => {
  const figure = (name: string, unit: string, value: (outcome: Outcome) => number): Figure => {
    const theirs = rounds.flatMap((round) => (round.theirs === null ? [] : [value(round.theirs)]))
    return {
      name,
      unit,
      measured: rounds.map(({ ours }) => value(ours)),
      ...(theirs.length === 0 ? {} : { baseline: theirs })
    }
  }
  const dead = (parameters.images / 2) * blobsPerImage
  const counts = (who: string, outcomes: ReadonlyArray<Outcome>) => {
    const sum = (of: (outcome: Outcome) => number) =>
      outcomes.reduce((total, outcome) => total + of(outcome), 0)
    return `${who}: ${sum(({ lost }) => lost)} images lost beside the collection and ${sum(({ leaked }) => leaked)} blobs leaked; ${sum(({ raced, racedWhole }) => raced - racedWhole)} of ${sum(({ raced }) => raced)} images lost that were pushed again, deleted before, and acknowledged.`
  }
  const ours = rounds.map((round) => round.ours)
  ensure(
    ours.every(({ leaked, lost, raced, racedWhole }) => leaked === 0 && lost === 0 && raced === racedWhole),
    counts("artifact-gc", ours)
  )
  const seconds = (millis: number) => millis / 1000
  return {
    parameters,
    figures: [
      figure(`collection of ${dead} blobs`, "s", ({ collection }) => seconds(collection.millis)),
      figure("the same, CPU", "s", ({ collection }) => seconds(collection.cpuMillis)),
      figure("the same, peak RSS", "MB", ({ collection }) => collection.peakBytes / 1e6),
      figure("the same, S3 requests", "", ({ collection }) => collection.requests),
      figure("a collection that finds nothing", "s", ({ idle }) => seconds(idle.millis)),
      figure("the same, CPU", "s", ({ idle }) => seconds(idle.cpuMillis)),
      figure("the same, S3 requests", "", ({ idle }) => Math.max(1, idle.requests)),
      figure("images pushed during the collection", "", ({ pushed }) => Math.max(1, pushed))
    ],
    verified: [
      counts("artifact-gc", ours),
      ...(rounds.some(({ theirs }) => theirs !== null)
        ? [
            counts(
              "distribution 3.1.2",
              rounds.flatMap(({ theirs }) => (theirs === null ? [] : [theirs]))
            )
          ]
        : []),
      "Two sweeps are one collection here: the first sees the orphans, the second deletes them. The wait between them is not counted. Baseline: distribution."
    ]
  }
}
