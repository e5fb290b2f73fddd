/** What a store tells of itself, and of uploads that nobody finished. */
import { assert } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { Storage } from "../../../src/storage/Storage.ts"
import { fill, key, read, type Suite, workspace } from "../../fixtures/storage/Workspace.ts"

export const knowing = ({ promise }: Suite): void => {
  promise(
    "has no upload in parts left of puts that are over, well or badly",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const body = Stream.make(Buffer.alloc(12_000_000))
      const [good, short, broken] = [key(prefix, "good"), key(prefix, "short"), key(prefix, "broken")]
      yield* storage.put(good, body, 12_000_000)
      yield* Effect.exit(storage.put(short, body, 12_000_001))
      yield* Effect.exit(storage.put(broken, Stream.concat(body, Stream.fail("broken")), null))
      // Each by its whole key, since some stores find uploads by nothing less.
      for (const k of [good, short, broken, prefix]) {
        assert.deepStrictEqual(yield* Stream.runCollect(storage.multiparts(k)), [], k)
      }
    })
  )

  promise(
    "ends an upload that is not there successfully, and leaves objects alone",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const [a, absent] = [key(prefix, "a"), key(prefix, "absent")]
      yield* fill([a])
      yield* storage.abortMultipart({ key: a, uploadId: "no-such-upload" })
      yield* storage.abortMultipart({ key: absent, uploadId: "no-such-upload" })
      assert.strictEqual((yield* read(a)).toString(), "x")
    })
  )

  promise(
    "tells what deletes do, and how far its clock is off",
    Effect.gen(function* () {
      const storage = yield* Storage
      const { chosen, deletes, versioning } = yield* storage.traits
      if (versioning === "off")
        assert.deepStrictEqual({ chosen, deletes }, { chosen: true, deletes: "objects" })
      // The tests and the store run on one machine, or on machines whose clocks are kept.
      const skew = Option.getOrElse(yield* storage.skew, () => 0)
      assert.isBelow(Math.abs(skew), 60_000)
    })
  )
}
