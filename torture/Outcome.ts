/** What a torture answers. */
export interface Outcome {
  readonly passed: number
  readonly failed: number
  /** Everything, for machines. */
  readonly result: object
  readonly text: string
}
