/** Which licences the packages of a release may have. */

/** Licences that ask for a notice at most. Others are judged by a person, who adds them here or removes the package. */
const permitted = new Set([
  ...["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BlueOak-1.0.0", "CC0-1.0", "ISC", "MIT"],
  ...["MIT-0", "Unlicense", "Zlib"]
])

/** A package of the release, as a CycloneDX document names it. */
export interface Component {
  readonly name: string
  readonly version: string
  readonly licenses?: ReadonlyArray<{
    readonly license?: { readonly id?: string; readonly name?: string }
    readonly expression?: string
  }>
}

const isPermitted = (expression: string): boolean => {
  const text = expression.replace(/[()]/g, " ").trim()
  // `OR` leaves the choice to us. `AND` asks for both.
  if (/\sOR\s/.test(text)) return text.split(/\sOR\s/).some(isPermitted)
  return text.split(/\sAND\s/).every((licence) => permitted.has(licence.trim()))
}

const expressionOf = ({ licenses = [] }: Component): string =>
  licenses
    .map(({ expression, license }) => expression ?? license?.id ?? license?.name ?? "")
    .filter((licence) => licence !== "")
    .join(" AND ")

/** A line for each package, and a line for each whose licence is unknown or not permitted. */
export interface Licences {
  readonly lines: ReadonlyArray<string>
  readonly refused: ReadonlyArray<string>
}

/** Lists the licences of the packages. */
export const licencesOf = (components: ReadonlyArray<Component>): Licences => {
  const named = components.map((component) => ({ component, licence: expressionOf(component) }))
  const line = ({ component: { name, version }, licence }: (typeof named)[number]) =>
    `${name} ${version}: ${licence || "unknown"}`
  return {
    lines: named.map(line).sort(),
    refused: named.filter(({ licence }) => !isPermitted(licence)).map(line)
  }
}
