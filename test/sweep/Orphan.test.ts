import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Digest } from "../../src/domain/Digest.ts"
import { type Orphan, type OrphanState, stateAt, type Waits } from "../../src/domain/Orphan.ts"

const waits: Waits = { graceMillis: 1000, quarantineMillis: 500 }
const now = 1_000_000

const orphan = (known: Partial<Orphan>): Orphan => ({
  digest: Digest.make("a"),
  sizeBytes: 1,
  usedAt: 0,
  seenAt: null,
  condemnedAt: null,
  ...known
})

describe("the state of an orphan", () => {
  it("is waiting at first sight, however old it is", () => {
    assert.strictEqual(stateAt(orphan({ usedAt: 0 }), now, waits), "waiting")
  })

  it("is waiting until the grace period since first sight is over, to the millisecond", () => {
    assert.strictEqual(stateAt(orphan({ seenAt: now - 999 }), now, waits), "waiting")
    assert.strictEqual(stateAt(orphan({ seenAt: now - 1000 }), now, waits), "condemnable")
    assert.strictEqual(stateAt(orphan({ seenAt: now - 1001 }), now, waits), "condemnable")
  })

  it("is waiting until the grace period since its last use is over, to the millisecond", () => {
    const used = (usedAt: number) => orphan({ usedAt, seenAt: 0 })
    assert.strictEqual(stateAt(used(now - 999), now, waits), "waiting")
    assert.strictEqual(stateAt(used(now - 1000), now, waits), "condemnable")
    assert.strictEqual(stateAt(used(now - 1001), now, waits), "condemnable")
  })

  it("is quarantined until the quarantine is over, to the millisecond", () => {
    const condemned = (condemnedAt: number) => orphan({ seenAt: 0, condemnedAt })
    assert.strictEqual(stateAt(condemned(now), now, waits), "quarantined")
    assert.strictEqual(stateAt(condemned(now - 499), now, waits), "quarantined")
    assert.strictEqual(stateAt(condemned(now - 500), now, waits), "purgeable")
    assert.strictEqual(stateAt(condemned(now - 501), now, waits), "purgeable")
  })

  it("is waiting again when it was used after it was condemned", () => {
    const used = orphan({ usedAt: now - 999, seenAt: 0, condemnedAt: now - 2000 })
    assert.strictEqual(stateAt(used, now, waits), "waiting")
  })

  it("is waiting while its last use lies in the future, even without a grace period", () => {
    const none: Waits = { graceMillis: 0, quarantineMillis: 0 }
    assert.strictEqual(stateAt(orphan({ usedAt: now + 1, seenAt: now }), now, none), "waiting")
    assert.strictEqual(stateAt(orphan({ usedAt: now, seenAt: now }), now, none), "purgeable")
  })

  it("skips the wait that is zero", () => {
    const graceless: Waits = { graceMillis: 0, quarantineMillis: 500 }
    const unquarantined: Waits = { graceMillis: 1000, quarantineMillis: 0 }
    assert.strictEqual(stateAt(orphan({}), now, graceless), "condemnable")
    assert.strictEqual(stateAt(orphan({ seenAt: now - 999 }), now, unquarantined), "waiting")
    assert.strictEqual(stateAt(orphan({ seenAt: now - 1000 }), now, unquarantined), "purgeable")
  })
})

const instant = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))
const wait = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 }))
const any = { usedAt: instant, seenAt: Schema.NullOr(instant), condemnedAt: Schema.NullOr(instant) }
const order: ReadonlyArray<OrphanState> = ["waiting", "condemnable", "quarantined", "purgeable"]
const rank = (state: OrphanState) => order.indexOf(state)

describe("for any orphan", () => {
  it.prop(
    "both waits have passed in full when it may be purged",
    { ...any, now: instant, graceMillis: wait, quarantineMillis: wait },
    ({ usedAt, seenAt, condemnedAt, now, graceMillis, quarantineMillis }) => {
      const state = stateAt(orphan({ usedAt, seenAt, condemnedAt }), now, { graceMillis, quarantineMillis })
      const graced = now - usedAt >= graceMillis && now - (seenAt ?? now) >= graceMillis
      const quarantined = now - (condemnedAt ?? now) >= quarantineMillis
      assert.strictEqual(state !== "waiting", graced)
      assert.strictEqual(state === "purgeable", graced && quarantined)
      if (state === "condemnable") assert.isNull(condemnedAt)
      if (state === "quarantined") assert.isNotNull(condemnedAt)
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "time alone never brings it back from where it was",
    { ...any, now: instant, later: wait, graceMillis: wait, quarantineMillis: wait },
    ({ usedAt, seenAt, condemnedAt, now, later, graceMillis, quarantineMillis }) => {
      const known = orphan({ usedAt, seenAt: seenAt ?? now, condemnedAt })
      const waits = { graceMillis, quarantineMillis }
      const [before, after] = [stateAt(known, now, waits), stateAt(known, now + later, waits)]
      assert.isAtLeast(rank(after), rank(before))
    },
    { arbitrary: { runs: 500 } }
  )
})
