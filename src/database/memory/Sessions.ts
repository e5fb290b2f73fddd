import { Effect } from "effect"
import type { Sessions } from "../Database.ts"
import type { State } from "./State.ts"

export const sessions = (_state: State): Sessions => ({
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
