/** Teams that build, tag, delete and pull all night, and repeat what failed only with their next build. */
import { randomBytes } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { messageOf } from "../../tools/Program.ts"
import { Client, type Image, measured } from "../acceptance/ciDay/Team.ts"

/** Builds whose tags a repository keeps. */
const kept = 4
const pauseMillis = 250
const sharedLayers = 3
const sharedBytes = 100_000

/** A request that failed. */
export interface Failed {
  readonly at: number
  readonly message: string
}

/** What the teams did. */
export interface Traffic {
  readonly failures: ReadonlyArray<Failed>
  readonly counts: () => { readonly builds: number; readonly pulls: number; readonly requests: number }
  /** Lets each team finish its build. Returns the acknowledged images whose tags no team asked to delete. */
  readonly end: () => Promise<ReadonlyArray<Image>>
}

/** Starts `teams` teams with two repositories each. A team talks to one replica. */
export const start = (urls: ReadonlyArray<string>, teams: number): Traffic => {
  const failures: Array<Failed> = []
  const clients = Array.from(
    { length: teams },
    (_, team) => new Client(urls[team % urls.length] ?? "", measured())
  )
  const shared = Array.from({ length: sharedLayers }, () => randomBytes(sharedBytes))
  let isOver = false
  const work = async (client: Client, repositories: ReadonlyArray<string>): Promise<ReadonlyArray<Image>> => {
    const live = new Map<string, Array<Image>>(repositories.map((name) => [name, []]))
    for (let n = 0; !isOver; n++) {
      const repository = repositories[n % repositories.length] ?? ""
      try {
        await build(client, repository, `b${n}`, live.get(repository) ?? [], shared[n % sharedLayers])
      } catch (error) {
        failures.push({ at: Date.now(), message: messageOf(error) })
      }
      await sleep(pauseMillis)
    }
    return [...live.values()].flat()
  }
  const working = clients.map((client, team) => work(client, [`team${team}/web`, `team${team}/api`]))
  const sum = (of: (client: Client) => number) => clients.reduce((total, client) => total + of(client), 0)
  return {
    failures,
    counts: () => ({
      builds: sum(({ measured }) => measured.builds),
      pulls: sum(({ measured }) => measured.pulls),
      requests: sum(({ measured }) => measured.millis.length)
    }),
    end: async () => {
      isOver = true
      return (await Promise.all(working)).flat()
    }
  }
}

const build = async (
  client: Client,
  repository: string,
  tag: string,
  images: Array<Image>,
  shared: Buffer = Buffer.alloc(0)
): Promise<void> => {
  images.push(await client.pushImage(repository, tag, shared))
  client.measured.builds += 1
  // It leaves the list first: a delete without an answer may have happened.
  const old = images.length > kept ? images.shift() : undefined
  if (old !== undefined) await client.ask("DELETE", `/v2/${repository}/manifests/${old.tag}`, {}, 202, 404)
  const any = images[Math.floor(Math.random() * images.length)]
  if (client.measured.builds % 3 === 0 && any !== undefined) {
    await client.pull(any)
    client.measured.pulls += 1
  }
}

/** Pushes `count` images under tags of their own, as an archive that is not built again. */
export const archive = async (url: string, repository: string, count: number): Promise<void> => {
  const client = new Client(url, measured())
  const shared = randomBytes(10_000)
  const tags = Array.from({ length: count }, (_, n) => `v${n}`)
  const work = async () => {
    for (let tag = tags.pop(); tag !== undefined; tag = tags.pop())
      await client.pushImage(repository, tag, shared)
  }
  await Promise.all([work(), work(), work(), work()])
}
