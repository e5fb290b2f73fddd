/** The moments of a night: what breaks, what the views must tell meanwhile, and how it is repaired. */
import assert from "node:assert/strict"
import { setTimeout as sleep } from "node:timers/promises"
import { withConnection } from "../bench/harness/Postgres.ts"
import * as Claims from "./Claims.ts"
import type { Screens } from "./Screens.ts"
import { archive } from "./Traffic.ts"
import { type Claim, keepTelling, readPage, tell } from "./Views.ts"
import { holdMillis, type World } from "./World.ts"

/** Something that happens in a night. */
export interface Moment {
  readonly name: string
  /** Whether clients may see failures. */
  readonly disturbs: boolean
  readonly begin: () => Promise<void>
  /** What the views must tell while it lasts. */
  readonly claim: Claim
  /** How soon after the beginning. */
  readonly withinMillis: number
  /** For how long it lasts after the views first told it. */
  readonly lastsMillis: number
  /** The name of its picture; null for none. */
  readonly picture: { readonly name: string; readonly scheme: "light" | "dark" } | null
  readonly repair: () => Promise<void>
}

/** The number of replicas that collect. */
export const collectors = 3

/** How soon after a repair all must be well. Leases of requests that a store swallowed end within. */
const wellWithinMillis = 60_000

/** Grace, quarantine and two sweeps. */
const settlesMillis = 15_000

/** Each scan condemns a part. */
const confirmationsMax = 6

/** Images of an archive whose rows are deleted: more than a fifth of all blobs. */
const archived = 60

const ok = ({ all, code }: { readonly all: string; readonly code: number | null }) =>
  assert.equal(code, 0, all)

/** Pushes an archive, and deletes all its rows at once. */
const loseArchive = async ({ database, replicas }: World, repository: string): Promise<void> => {
  await archive(replicas[0]?.url ?? "", repository, archived)
  // While pushes still hold its blobs, they would become orphans in parts.
  await sleep(holdMillis)
  await withConnection(database.url, async ({ query }) => {
    await query("BEGIN")
    for (const table of ["tags", "manifest_references", "manifests"])
      await query(`DELETE FROM artifact_registry.${table} WHERE repository = $1`, [repository])
    await query("COMMIT")
  })
}

/**
 * Confirms what the page says until all breakers stay closed. What is condemned after a confirmation counts anew and may open
 * one again, and a smaller catalogue may open that of manifests.
 */
const confirmed = async ({ command, places }: World): Promise<void> => {
  for (let round = 0; round < confirmationsMax; round++) {
    const { html } = await readPage(places.pages[0] ?? "")
    const names = [...html.matchAll(/artifact-gc breaker --confirm (\w+)/g)].map(([, name = ""]) => name)
    if (names.length === 0) return
    for (const name of names) ok(await command("breaker", "--confirm", name))
    await sleep(settlesMillis)
  }
}

/** Returns the moments of one round, in order. */
export const momentsOf = (world: World): ReadonlyArray<Moment> => {
  const { command, database, store } = world
  let other: ReturnType<World["collector"]> | null = null
  let round = 0
  const store_ = (mode: Parameters<World["store"]>[0]) => () => store(mode)
  return [
    {
      name: "the store refuses connections",
      disturbs: true,
      begin: store_("cut"),
      claim: Claims.failing,
      withinMillis: 30_000,
      lastsMillis: 8000,
      picture: { name: "store", scheme: "light" },
      repair: store_("well")
    },
    {
      name: "the store accepts requests and does not answer",
      disturbs: true,
      begin: store_("hung"),
      claim: Claims.hanging,
      withinMillis: 75_000,
      lastsMillis: 5000,
      picture: null,
      repair: store_("well")
    },
    {
      name: "the database is restarted after a crash",
      disturbs: true,
      begin: () => database.stop(),
      claim: Claims.unreadable,
      withinMillis: 30_000,
      lastsMillis: 5000,
      picture: { name: "database", scheme: "dark" },
      repair: () => database.startAgain()
    },
    {
      // The collector works on: it frees what the store lacks.
      name: "the store is full",
      disturbs: true,
      begin: store_("full"),
      claim: Claims.calm(collectors),
      withinMillis: 30_000,
      lastsMillis: 10_000,
      picture: null,
      repair: store_("well")
    },
    {
      name: "a collector with another grace period is started",
      disturbs: false,
      begin: async () => {
        other = world.collector("other", { GC_GRACE: "7 seconds", GC_QUARANTINE: "3 seconds" })
      },
      claim: Claims.refusing("settings"),
      withinMillis: 30_000,
      lastsMillis: 5000,
      picture: null,
      repair: async () => {
        await other?.stop()
      }
    },
    {
      name: "an operator pauses",
      disturbs: false,
      begin: async () => ok(await command("pause", "--reason=The night shift looks at a disk.")),
      claim: Claims.paused("The night shift looks at a disk."),
      withinMillis: 15_000,
      lastsMillis: 5000,
      picture: null,
      repair: async () => ok(await command("resume"))
    },
    {
      name: "a mistake in SQL deletes an archive's rows",
      disturbs: false,
      begin: async () => {
        round += 1
        await loseArchive(world, `archive/round${round}`)
      },
      claim: Claims.open("orphans"),
      withinMillis: 45_000,
      lastsMillis: 6000,
      picture: { name: "breaker", scheme: "light" },
      repair: () => confirmed(world)
    }
  ]
}

/** What a moment came to. */
export interface Outcome {
  readonly toldMillis: number
  readonly wellMillis: number
}

/** Lets a moment happen: the views tell it in time, keep telling it, and tell in time that it is over. */
export const happen = async (world: World, screens: Screens, moment: Moment): Promise<Outcome> => {
  const { claim, lastsMillis, picture, withinMillis } = moment
  let isRepaired = false
  try {
    await moment.begin()
    const toldMillis = await tell(world.places, claim, withinMillis)
    if (picture !== null) await screens.take(picture.name, world.places.pages[0] ?? "", picture.scheme)
    await keepTelling(world.places, claim, lastsMillis)
    await moment.repair()
    isRepaired = true
    const wellMillis = await tell(world.places, Claims.calm(collectors), wellWithinMillis)
    return { toldMillis, wellMillis }
  } finally {
    if (!isRepaired) await moment.repair()
  }
}
