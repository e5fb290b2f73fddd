import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { Manifests } from "../Database.ts"
import type { DigestType } from "./DigestType.ts"
import type { Session } from "./Session.ts"

export const make = (_session: Session, _type: Effect.Effect<DigestType, SqlError.SqlError>): Manifests => ({
  probe: Effect.die("not written yet"),
  put: () => Effect.die("not written yet"),
  find: () => Effect.die("not written yet"),
  touch: () => Effect.die("not written yet"),
  untag: () => Effect.die("not written yet"),
  delete: () => Effect.die("not written yet"),
  tags: () => Effect.die("not written yet"),
  repositories: () => Effect.die("not written yet"),
  referrers: () => Effect.die("not written yet"),
  blob: () => Effect.die("not written yet"),
  expire: () => Effect.die("not written yet"),
  untagged: () => Effect.die("not written yet"),
  exposure: () => Effect.die("not written yet")
})
