/** What the three contenders of the sweep are told, and what they answer. */
import { Tracer } from "effect"
import type { S3Place } from "../harness/Servers.ts"

export interface Task {
  readonly databaseUrl: string
  readonly s3: S3Place
  /** Nothing of the bucket outside it may be touched. */
  readonly prefix: string
  /** Blobs a slice, keys a batch, batches in flight. */
  readonly scanPage: number
  readonly batch: number
  readonly concurrency: number
  /** Objects that may be deleted. */
  readonly maxDeletes: number
  /** In a rehearsal: count the statements. */
  readonly records: boolean
}

export interface Outcome {
  readonly deleted: number
  /** Finding the orphans and writing down what was found. */
  readonly scanMillis: number
  /** Purging the rows and deleting the objects. */
  readonly purgeMillis: number
  /** How often each statement was executed. Empty unless asked for. */
  readonly statements: Readonly<Record<string, number>>
}

export interface Recorder {
  readonly executed: (statement: string) => void
  readonly statements: Readonly<Record<string, number>>
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
