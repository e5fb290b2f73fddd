/** What every verb answers. */
import type { Effect } from "effect"
import type { DatabaseError } from "../../domain/DatabaseError.ts"

export type Result<A> = Effect.Effect<A, DatabaseError>
