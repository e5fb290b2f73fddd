/** Which statements a contender executes, so that a floor can be held to those of what it is the floor of. */
import { Tracer } from "effect"
import { insist } from "./Question.ts"

/** How often each statement was executed. */
export type Statements = Readonly<Record<string, number>>

export interface Recorder {
  readonly executed: (statement: string) => void
  readonly statements: Statements
}

/** Statements with the same words count as one, however they are laid out and quoted. */
export const recorder = (records: boolean): Recorder => {
  const statements: Record<string, number> = {}
  return {
    statements,
    executed: (statement) => {
      if (!records) return
      const words = statement
        .replace(/--.*$/gm, "")
        .replaceAll('"', "")
        .replace(/\s+/g, " ")
        .replace(/ ?([(),]) ?/g, "$1")
        .trim()
      statements[words] = (statements[words] ?? 0) + 1
    }
  }
}

/** A tracer that only looks at what the SQL client says it executes. */
export const listening = ({ executed }: Recorder): Tracer.Tracer => {
  class Listener extends Tracer.NativeSpan {
    override attribute(name: string, value: unknown): void {
      if (name === "db.query.text") executed(String(value))
    }
  }
  return Tracer.make({ span: (options) => new Listener(options) })
}

/**
 * That the floor executes nothing that `who` does not execute as often, and `who` nothing more than `moreMax` times
 * oftener. Answers how many statements were compared. Ends the run otherwise, naming `file`, where the floor's are.
 */
export const insistSame = (
  who: string,
  file: string,
  { floor, measured }: { readonly floor: Statements; readonly measured: Statements },
  moreMax: (statement: string) => number = () => 0
): number => {
  const drifted = Object.keys({ ...floor, ...measured }).filter((statement) => {
    const more = (measured[statement] ?? 0) - (floor[statement] ?? 0)
    return more < 0 || more > moreMax(statement)
  })
  const lines = drifted.map(
    (statement) => `  ${who} ${measured[statement] ?? 0}, floor ${floor[statement] ?? 0}: ${statement}`
  )
  insist(
    drifted.length === 0,
    `${file} and the collector no longer execute the same statements as often:\n${lines.join("\n")}`
  )
  insist(Object.keys(floor).length > 0, "the floor executed no statement")
  return Object.values(floor).reduce((sum, count) => sum + count, 0)
}
