/** What an operator sees: the page of each replica, and `artifact-gc status --json` with its exit code. */
import assert from "node:assert/strict"
import { setTimeout as sleep } from "node:timers/promises"
import type { Status } from "../../src/status/Status.ts"
import { capture } from "../../tools/servers/Processes.ts"
import { binary } from "../acceptance/Replicas.ts"

/** A page of one replica. */
export interface PageView {
  /** 0 without an answer. */
  readonly status: number
  /** The heading that says how it is. */
  readonly heading: string
  readonly html: string
}

/** A state that every view must tell. Returns what a view says instead; null where it tells it. */
export interface Claim {
  readonly page: (page: PageView) => string | null
  readonly status: (status: Status | null, exitCode: number | null) => string | null
}

/** Where the views are. */
export interface Places {
  readonly pages: ReadonlyArray<string>
  readonly env: NodeJS.ProcessEnv
}

const headingOf = (html: string): string => /<h1 id="health">([^<]*)<\/h1>/.exec(html)?.[1] ?? ""

/** Reads the page of a replica. */
export const readPage = async (url: string): Promise<PageView> => {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(15_000) })
    const html = await answer.text()
    return { status: answer.status, heading: headingOf(html), html }
  } catch {
    return { status: 0, heading: "", html: "" }
  }
}

const parsed = (stdout: string): Status | null => {
  try {
    return JSON.parse(stdout)
  } catch {
    return null
  }
}

/** What the pages say instead of a claim. */
const pagesObject = async ({ pages }: Places, { page }: Claim): Promise<ReadonlyArray<string>> =>
  (await Promise.all(pages.map(readPage))).flatMap((each, n) => {
    const says = page(each)
    return says === null ? [] : [`page ${n + 1}: ${says}`]
  })

/** What the command says instead of a claim. It starts a process, so it is asked less often than the pages. */
const commandObjects = async ({ env }: Places, { status }: Claim): Promise<ReadonlyArray<string>> => {
  const { code, stdout } = await capture(process.execPath, [binary, "status", "--json"], { env })
  const says = status(parsed(stdout), code)
  return says === null ? [] : [`status: ${says}`]
}

const betweenMillis = 1500

/**
 * Waits until all pages tell the claim, and then the command. Fails after `withinMillis` with what they say. Returns after how
 * long the pages told it.
 */
export const tell = async (places: Places, claim: Claim, withinMillis: number): Promise<number> => {
  const began = performance.now()
  for (;;) {
    const asked = performance.now()
    const onPages = await pagesObject(places, claim)
    const told = performance.now() - began
    const found = onPages.length > 0 ? onPages : await commandObjects(places, claim)
    if (found.length === 0) return told
    assert.ok(asked - began < withinMillis, `not told within ${withinMillis / 1000} s:\n${found.join("\n")}`)
    await sleep(betweenMillis)
  }
}

/** Fails if a view tells something else while `millis` pass. */
export const keepTelling = async (places: Places, claim: Claim, millis: number): Promise<void> => {
  const until = performance.now() + millis
  while (performance.now() < until) {
    assert.deepEqual(await pagesObject(places, claim), [], "told, and then no longer")
    await sleep(betweenMillis)
  }
  assert.deepEqual(await commandObjects(places, claim), [], "told, and then no longer")
}
