/** The chart's values are those that its templates use and its schema knows, and each is explained. */
import { readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"

const chart = new URL("../../deploy/helm/artifact-gc/", import.meta.url)

const read = (path: string): string => readFileSync(new URL(path, chart), "utf8")

interface Value {
  readonly path: string
  readonly isExplained: boolean
}

/** Returns the values at the ends of values.yaml. A comment explains what follows it up to an empty line, and what is inside. */
const leavesOf = (text: string): ReadonlyArray<Value> => {
  const above: Array<{ readonly key: string; readonly depth: number; readonly isExplained: boolean }> = []
  const leaves: Array<Value> = []
  let commentDepth: number | null = null
  for (const line of text.split("\n")) {
    const [, spaces = "", comment, key, value] = /^( *)(?:(#)|([\w.]+):\s*(.*))/.exec(line) ?? []
    const depth = spaces.length
    if (comment !== undefined) commentDepth = depth
    if (line === "") commentDepth = null
    if (key === undefined) continue
    while ((above.at(-1)?.depth ?? -1) >= depth) above.pop()
    const isExplained = commentDepth === depth || above.some((one) => one.isExplained)
    if (value === "") {
      above.push({ key, depth, isExplained })
      continue
    }
    leaves.push({ path: [...above.map((one) => one.key), key].join("."), isExplained })
  }
  return leaves
}

const leaves = leavesOf(read("values.yaml"))
const paths = leaves.map(({ path }) => path)

/** Values as the templates name them. */
const used = new Set(
  readdirSync(new URL("templates", chart)).flatMap((file) =>
    [...read(`templates/${file}`).matchAll(/\.Values\.([\w.]+)/g)].map(([, path = ""]) => path)
  )
)

const isWithin = (path: string, whole: string): boolean => path === whole || path.startsWith(`${whole}.`)

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: unknown
}

/** Tells whether the schema knows a path: it names it, or leaves open what is inside. */
const isKnown = (schema: Schema, [key, ...rest]: ReadonlyArray<string>): boolean => {
  if (key === undefined) return true
  const inner = schema.properties?.[key]
  return inner === undefined ? schema.additionalProperties !== false : isKnown(inner, rest)
}

describe("the chart's values", () => {
  it("are used by a template, each", () => {
    assert.isAbove(paths.length, 50)
    assert.deepStrictEqual(
      paths.filter((path) => ![...used].some((whole) => isWithin(path, whole))),
      []
    )
  })

  it("exist for each name that a template uses", () => {
    assert.deepStrictEqual(
      [...used].filter((name) => !paths.some((path) => isWithin(path, name))),
      []
    )
  })

  it("are known to the schema, which names no others", () => {
    const schema: Schema = JSON.parse(read("values.schema.json"))
    assert.deepStrictEqual(
      paths.filter((path) => !isKnown(schema, path.split("."))),
      []
    )
    const named = (inner: Schema, path: ReadonlyArray<string>): ReadonlyArray<string> =>
      inner.properties === undefined
        ? [path.join(".")]
        : Object.entries(inner.properties).flatMap(([key, one]) => named(one, [...path, key]))
    // `global` is helm's own, and resources may have more parts than the defaults.
    const extra = named(schema, []).filter((name) => !paths.some((path) => isWithin(path, name)))
    assert.deepStrictEqual(
      extra.filter((name) => name !== "global" && !/\.resources\.\w+$/.test(name)),
      []
    )
  })

  it("are explained by a comment", () => {
    assert.deepStrictEqual(
      leaves.filter(({ isExplained }) => !isExplained).map(({ path }) => path),
      []
    )
  })
})
