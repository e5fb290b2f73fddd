/** The failure of statements of the host, on its way through the verb in whose transaction they ran. */
import * as SqlError from "effect/sql/SqlError"
import { DatabaseError } from "../../domain/DatabaseError.ts"
import { translate } from "./Errors.ts"

/** Keeps a failure of the host's apart from the verb's, whose errors are translated. */
export class HostFailed<E> {
  /** What the host's statements failed with. */
  readonly error: E
  /** Whether the whole transaction may be tried again. */
  readonly isRetryable: boolean

  constructor(error: E, isRetryable = isTransient(error)) {
    this.error = error
    this.isRetryable = isRetryable
  }
}

/** A statement of the host fails with the driver's error, and a verb of the collector within with its own. */
const isTransient = (error: unknown): boolean =>
  SqlError.isSqlError(error)
    ? translate("commit", error).isRetryable
    : error instanceof DatabaseError && error.isRetryable

/** Returns the host's own failure, or `error`. */
export const unwrapped = <E>(error: E): Exclude<E, HostFailed<unknown>> =>
  (error instanceof HostFailed ? error.error : error) as Exclude<E, HostFailed<unknown>>
