/** How a set of triggers compares what is wanted with what is installed. */
import { assert, describe, it } from "@effect/vitest"
import {
  difference,
  fingerprint,
  type InstalledTrigger,
  tablesOf,
  type WantedTrigger
} from "../../src/database/postgres/triggers/TriggerSet.ts"

const wanted = (table: string, name = "check"): WantedTrigger => ({
  ...{ schema: "public", table, name: `zz_${name}`, function: name, body: "", usesSearchPath: false },
  ...{ event: "BEFORE INSERT", level: "FOR EACH ROW" }
})

const installed = (table: string, changes: Partial<InstalledTrigger> = {}): InstalledTrigger => ({
  ...{ oid: "1", schema: "public", table, name: "zz_check", function: "check" },
  ...{ enabled: true, inherited: false, ...changes }
})

const found = (want: ReadonlyArray<WantedTrigger>, have: ReadonlyArray<InstalledTrigger>) => {
  const { missing, inactive, stale } = difference(want, have)
  return { missing: tablesOf(missing), inactive: tablesOf(inactive), stale: tablesOf(stale) }
}

const none = { missing: [], inactive: [], stale: [] }

describe("A set of triggers", () => {
  it("differs in nothing where each wanted trigger is installed and enabled", () => {
    assert.deepStrictEqual(
      found([wanted("blobs"), wanted("tags")], [installed("tags"), installed("blobs")]),
      none
    )
  })

  it("misses a trigger where only one with another function is installed", () => {
    assert.deepStrictEqual(found([wanted("blobs", "new")], [installed("blobs"), installed("tags")]), {
      missing: ["public.blobs"],
      inactive: ["public.blobs"],
      stale: ["public.blobs", "public.tags"]
    })
  })

  it("counts a disabled trigger as inactive, not as missing", () => {
    assert.deepStrictEqual(found([wanted("blobs")], [installed("blobs", { enabled: false })]), {
      missing: [],
      inactive: ["public.blobs"],
      stale: []
    })
  })

  it("does not drop what a partition inherits", () => {
    assert.deepStrictEqual(found([], [installed("part", { inherited: true })]), none)
  })

  it("has a fingerprint that changes when a trigger is created, dropped, enabled or disabled", () => {
    const states = [
      [],
      [installed("blobs")],
      [installed("blobs", { enabled: false })],
      [installed("blobs", { oid: "2" })],
      [installed("blobs"), installed("tags", { oid: "2" })]
    ]
    assert.lengthOf([...new Set(states.map(fingerprint))], states.length)
  })
})
