/** What a torture answers. */
export interface Outcome {
  readonly passed: number
  readonly failed: number
  /** What was tried and came to nothing, so that it shows nothing. */
  readonly skipped: number
  /** Everything, for machines. */
  readonly result: object
  readonly text: string
}
