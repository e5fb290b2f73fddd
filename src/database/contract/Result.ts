/** The result of a verb. */
import type { Effect } from "effect"
import type { DatabaseError } from "../../domain/DatabaseError.ts"

/** An effect that may fail with `DatabaseError` and needs no service. */
export type Result<A> = Effect.Effect<A, DatabaseError>
