import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { Sessions } from "../Database.ts"
import type { DigestType } from "./DigestType.ts"
import type { Session } from "./Session.ts"

export const make = (_session: Session, _type: Effect.Effect<DigestType, SqlError.SqlError>): Sessions => ({
  open: () => Effect.die("not written yet"),
  read: () => Effect.die("not written yet"),
  touch: () => Effect.die("not written yet"),
  append: () => Effect.die("not written yet"),
  claim: () => Effect.die("not written yet"),
  renewClaim: () => Effect.die("not written yet"),
  release: () => Effect.die("not written yet"),
  complete: () => Effect.die("not written yet"),
  cancel: () => Effect.die("not written yet"),
  expire: () => Effect.die("not written yet"),
  idle: () => Effect.die("not written yet")
})
