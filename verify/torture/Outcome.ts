/** The outcome of a torture run. */
export interface Outcome {
  readonly passed: number
  readonly failed: number
  /** Number of cases whose fault did not strike. They show nothing. */
  readonly skipped: number
  /** The data that `--json` prints. */
  readonly result: object
  /** The text that is printed without `--json`. */
  readonly text: string
}
