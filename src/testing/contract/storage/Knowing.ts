/** The contract of `multiparts`, `abortMultipart`, `traits` and `skew`. */
import { Effect, Option, Stream } from "effect"
import { Storage } from "../../../storage/Storage.ts"
import * as assert from "../Assert.ts"
import { type Declared, declare, fill, key, read, workspace } from "./Workspace.ts"

/** The cases. */
export const knowing: ReadonlyArray<Declared> = [
  declare(
    "leaves no multipart upload of a put that succeeded or failed",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const body = Stream.make(Buffer.alloc(12_000_000))
      const [good, short, broken] = [key(prefix, "good"), key(prefix, "short"), key(prefix, "broken")]
      yield* storage.put(good, body, 12_000_000)
      yield* Effect.exit(storage.put(short, body, 12_000_001))
      yield* Effect.exit(storage.put(broken, Stream.concat(body, Stream.fail("broken")), null))
      // Each by its whole key, because some stores find uploads only by that.
      for (const k of [good, short, broken, prefix]) {
        assert.deepStrictEqual(yield* Stream.runCollect(storage.multiparts(k)), [], k)
      }
    })
  ),
  declare(
    "aborts an absent upload successfully, and leaves objects alone",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const [a, absent] = [key(prefix, "a"), key(prefix, "absent")]
      yield* fill([a])
      yield* storage.abortMultipart({ key: a, uploadId: "no-such-upload" })
      yield* storage.abortMultipart({ key: absent, uploadId: "no-such-upload" })
      assert.strictEqual((yield* read(a)).toString(), "x")
    })
  ),
  declare(
    "says which uploads in parts it finds, and leaves none of its own",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      assert.include(["complete", "partial"], yield* storage.multipartSearch(prefix, true))
      assert.deepStrictEqual((yield* Stream.runCollect(storage.multiparts(prefix))).flat(), [])
      assert.deepStrictEqual((yield* Stream.runCollect(storage.list(prefix))).flat(), [])
      assert.notStrictEqual(yield* storage.multipartSearch(prefix, false), "unknown", "it is remembered")
    })
  ),
  declare(
    "reports what deletes do, and how far its clock is off",
    Effect.gen(function* () {
      const storage = yield* Storage
      const { chosen, deletes, versioning } = yield* storage.traits
      if (versioning === "off")
        assert.deepStrictEqual({ chosen, deletes }, { chosen: true, deletes: "objects" })
      // The tests and the store run on one machine, or on machines with synchronised clocks.
      const skew = Option.getOrElse(yield* storage.skew, () => 0)
      assert.isBelow(Math.abs(skew), 60_000)
    })
  )
]
