/** A verification that cannot fail verifies nothing. */
import { Insufficient, insist } from "./Question.ts"

/** Ends the run unless `verify` would have ended it, because of `what`. */
export const insistNoticed = async (what: string, verify: () => Promise<unknown>): Promise<void> => {
  const noticed = await verify().then(
    () => false,
    (error: unknown) => {
      if (error instanceof Insufficient) return true
      throw error
    }
  )
  insist(noticed, `the verification did not notice ${what}`)
}
