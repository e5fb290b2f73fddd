/**
 * Records the statements of a variant. A floor must execute the same statements as the code it is compared
 * with.
 */
import { Tracer } from "effect"
import { ensure } from "./Question.ts"

/** How often each statement was executed. */
export type Statements = Readonly<Record<string, number>>

/** Counts statements. */
export interface Recorder {
  /** Records an execution. */
  readonly executed: (statement: string) => void
  readonly statements: Statements
}

/** Creates a recorder. Layout and quotes do not distinguish statements. */
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

/** Creates a tracer that records the statements of the SQL client. */
export const recordingTracer = ({ executed }: Recorder): Tracer.Tracer => {
  class RecordingSpan extends Tracer.NativeSpan {
    override attribute(name: string, value: unknown): void {
      if (name === "db.query.text") executed(String(value))
    }
  }
  return Tracer.make({ span: (options) => new RecordingSpan(options) })
}

/**
 * Checks that the floor executes each statement at most as often as the code measured, which executes it at
 * most `moreMax` times more. Returns the number of statements compared. Fails with NoFigures otherwise, and
 * names `file`, which contains the floor's statements.
 */
export const ensureSame = (
  name: string,
  file: string,
  { floor, measured }: { readonly floor: Statements; readonly measured: Statements },
  moreMax: (statement: string) => number = () => 0
): number => {
  const drifted = Object.keys({ ...floor, ...measured }).filter((statement) => {
    const more = (measured[statement] ?? 0) - (floor[statement] ?? 0)
    return more < 0 || more > moreMax(statement)
  })
  const lines = drifted.map(
    (statement) => `  ${name} ${measured[statement] ?? 0}, floor ${floor[statement] ?? 0}: ${statement}`
  )
  ensure(
    drifted.length === 0,
    `${file} and the collector no longer execute the same statements as often:\n${lines.join("\n")}`
  )
  ensure(Object.keys(floor).length > 0, "the floor executed no statement")
  return Object.values(floor).reduce((sum, count) => sum + count, 0)
}
