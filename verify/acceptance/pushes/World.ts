/** Two replicas that get requests by turns, and the digests that they acknowledged. */
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import type { Group } from "../../../tools/servers/Processes.ts"
import type { Found } from "../../../tools/servers/Servers.ts"
import { digestOf } from "../clients/Images.ts"
import { type Pair, type Replica, type Settings, startPair, startReplica } from "../Replicas.ts"
import {
  ask,
  type Body,
  expected,
  type Headers,
  locationOf,
  type MaybeAnswer,
  type Sending
} from "./Answer.ts"

const settings: Settings = {
  GC_INTERVAL: "1 second",
  GC_JITTER: "0 seconds",
  GC_GRACE: "1 second",
  GC_QUARANTINE: "1 second",
  // Longer than a dead replica's lease on an upload that it was finishing.
  GC_UPLOAD_GRACE: "45 seconds",
  GC_BREAKER_PERCENT: "100",
  // As long as the checks take: what was acknowledged must exist until the last of them.
  REGISTRY_HOLD: "10 minutes",
  REGISTRY_UPLOAD_LEASE: "12 seconds",
  SERVE_IDLE_TIMEOUT: "10 seconds"
}

const repository = "odd/pushes"

const withDigest = (url: URL, digest: string): URL => {
  const closing = new URL(url)
  closing.searchParams.set("digest", digest)
  return closing
}

/** A replica that is about to be killed, and the one that stays. */
export interface Victim {
  readonly other: Replica
  readonly kill: () => Promise<void>
  /** Starts another replica in the place of the killed one. */
  readonly revive: () => Promise<void>
}

export class World {
  /** The digests that a replica answered 201 for. */
  readonly acknowledged = new Set<string>()
  readonly #group: Group
  readonly #servers: Found
  readonly #replicas: [Replica, Replica]
  #turn = 0

  private constructor(group: Group, servers: Found, replicas: Pair) {
    this.#group = group
    this.#servers = servers
    this.#replicas = [...replicas]
  }

  /** Starts both replicas. */
  static async start(group: Group, servers: Found): Promise<World> {
    return new World(group, servers, await startPair(group, servers, { settings }))
  }

  get replicas(): Pair {
    return this.#replicas
  }

  /** Returns an address of another replica at each call. */
  at(path: string): URL {
    const { url } = this.#replicas[this.#turn % 2 === 0 ? 0 : 1]
    this.#turn += 1
    return new URL(path, url)
  }

  /** Returns the address of a blob at the replica whose turn it is. */
  blobAt(digest: string): URL {
    return this.at(`/v2/${repository}/blobs/${digest}`)
  }

  /** Returns the replica that gets the next request, as one to kill. */
  victim(): Victim {
    const [index, otherIndex] = this.#turn % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)
    return {
      other: this.#replicas[otherIndex],
      kill: () => this.#replicas[index].daemon.kill(),
      revive: async () => {
        const name = `replica-${index}-${randomBytes(3).toString("hex")}`
        this.#replicas[index] = await startReplica(this.#group, this.#servers, name, { settings })
      }
    }
  }

  /** Opens an upload session and returns its address. */
  async open(): Promise<string> {
    return locationOf(expected(await ask(this.at(`/v2/${repository}/blobs/uploads/`), "POST"), 202))
  }

  patch(location: string, body: Body, headers: Headers = {}): Promise<MaybeAnswer> {
    return ask(this.at(location), "PATCH", { body, headers })
  }

  /** Sends a chunk that must be accepted, and returns the session's next address. */
  async append(location: string, body: Body): Promise<string> {
    return locationOf(expected(await this.patch(location, body), 202))
  }

  close(location: string, digest: string, sending?: Sending): Promise<MaybeAnswer> {
    return ask(withDigest(this.at(location), digest), "PUT", sending)
  }

  /** Closes an upload at a given replica. */
  closeAt(replica: Replica, location: string, digest: string): Promise<MaybeAnswer> {
    return ask(withDigest(new URL(location, replica.url), digest), "PUT")
  }

  /** Asserts that the answer acknowledges a blob, and remembers it. */
  acknowledge(digest: string, answer: MaybeAnswer): void {
    expected(answer, 201)
    this.acknowledged.add(digest)
  }

  /** Pulls a blob and asserts that it has the right bytes. */
  async pull(digest: string, from?: Replica): Promise<void> {
    const url = from ? new URL(`/v2/${repository}/blobs/${digest}`, from.url) : this.blobAt(digest)
    assert.equal(digestOf(expected(await ask(url, "GET"), 200).body), digest)
  }
}
