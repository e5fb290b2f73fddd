/** The public surface: every name that the entry points export, with its docstring, and the types that they hide. */
import { readFileSync } from "node:fs"
import type { Symbol, Type } from "typescript/unstable/sync"
import { fileAt } from "../Repository.ts"
import type { Compiler } from "./Compiler.ts"

/** A name that an entry point exports, or that a module of it does. */
export interface Exported {
  /** The entry point as an app imports it: `artifact-gc/oci`. */
  readonly entry: string
  /** The module of the entry point: `BlobStore`. Null for a name of the entry point itself. */
  readonly module: string | null
  /** The name. */
  readonly name: string
  /** What it stands for. */
  readonly symbol: Symbol
}

/** A class or an interface that an exported name mentions, and that no entry point exports. */
export interface Hidden {
  /** Its name. */
  readonly name: string
  /** Whether it is an error: a class with a tag and a message. */
  readonly isError: boolean
  /** The way to it from an exported name. */
  readonly via: string
}

/** The entry points of package.json by the name that an app imports, each with its file below `src`. */
export const entryPoints = (): Readonly<Record<string, string>> => {
  const { exports } = JSON.parse(readFileSync(fileAt("package.json"), "utf8")) as {
    readonly exports: Readonly<Record<string, { readonly types: string }>>
  }
  return Object.fromEntries(
    Object.entries(exports).map(([name, { types }]) => [
      name.replace(/^\./, "artifact-gc"),
      types.replace("./dist/", "").replace(/\.d\.ts$/, ".ts")
    ])
  )
}

/** Returns every exported name, in the order of the entry points and of their lines. */
export const exportedNames = (compiler: Compiler, suffix = ".ts"): ReadonlyArray<Exported> =>
  Object.entries(entryPoints()).flatMap(([entry, file]) =>
    compiler
      .exportsOf(compiler.moduleOf(file.replace(/\.ts$/, suffix)))
      .flatMap(
        ([name, symbol]): ReadonlyArray<Exported> =>
          compiler.isModule(symbol)
            ? compiler
                .exportsOf(symbol)
                .map(([inner, of]) => ({ entry, module: name, name: inner, symbol: of }))
            : [{ entry, module: null, name, symbol }]
      )
  )

/** The full name: `artifact-gc/oci: Uploads.layer`. */
export const fullName = ({ entry, module, name }: Exported): string =>
  `${entry}: ${module === null ? "" : `${module}.`}${name}`

/** Members whose meaning is their own in every type: each error has a message, each tagged value a tag. */
const selfEvident: ReadonlySet<string> = new Set([
  ...["message", "_tag", "prototype", "cause", "key", "digest", "sizeBytes"],
  ...["repository", "mediaType", "name", "path"]
])

/**
 * Tells whether a member of a name needs no docstring: it says itself what it is, it is a value of a label, it is a column of
 * the tables, as rows in memory have them, or the published schema of the status describes it.
 */
export const isSelfEvident = ({ module }: Exported, member: string): boolean =>
  selfEvident.has(member.split(".").at(-1) ?? "") ||
  member.includes(".labels.") ||
  member.startsWith("routes.") ||
  module === "MemoryDatabase" ||
  (module === "Status" && member.includes(".")) ||
  module === "RegistryMemory"

/**
 * Names that a host passes on and does not look into: the services of databases, the rows of those in memory, and what one
 * part of the package gives to another.
 */
export const opaque: ReadonlySet<string> = new Set([
  ...["BlobDatabase", "CollectorDatabase", "RegistryDatabase"],
  ...["State", "RegistryState", "emptyState", "HostTransaction"],
  ...["SchemaExtension", "migrate", "Actor"]
])

/** Whether a type has a tag and no name. */
const isVariant = (compiler: Compiler, type: Type): boolean => {
  const symbol = type.getSymbol()
  return compiler.propertyOf(type, "_tag") !== undefined && symbol !== undefined && !compiler.isNamed(symbol)
}

/** Returns the names of the members, at any depth of objects without a name, that have no docstring. */
export const bareMembers = (compiler: Compiler, symbol: Symbol): ReadonlyArray<string> => {
  const bare: Array<string> = []
  const seen = new Set<number>()
  const look = (type: Type, path: string): void => {
    if (seen.has(type.id)) return
    seen.add(type.id)
    if (type.isUnionType() || type.isIntersectionType()) {
      // The docstring of a tagged union explains its variants.
      for (const part of type.getTypes()) if (!isVariant(compiler, part)) look(part, path)
      return
    }
    for (const property of compiler.propertiesOf(type)) {
      // The members of a service are those of the type that its class carries.
      const isService = property.name === "Service"
      if (compiler.fileOf(property) === null && !isService) continue
      const name = isService ? path : `${path}.${property.name}`
      if (!isService && compiler.docsOf(property) === "") bare.push(name)
      for (const inner of compiler.typesOf(property)) {
        const named = inner.getSymbol()
        const isAnonymous = named?.name.startsWith("__") === true && compiler.fileOf(named) !== null
        if (isService || isAnonymous) look(inner, name)
      }
    }
  }
  for (const type of compiler.typesOf(symbol)) look(type, symbol.name)
  return [...new Set(bare)]
}

/**
 * Returns the classes and interfaces of this package that the exported names mention and that are not exported. `opaque`
 * names are not looked into.
 */
export const hiddenTypes = (
  compiler: Compiler,
  names: ReadonlyArray<Exported>,
  opaque: ReadonlySet<string>
): ReadonlyArray<Hidden> => {
  const exported = new Set(names.map(({ symbol }) => symbol.id))
  const seen = new Set<number>()
  const hidden = new Map<number, Hidden>()

  const isError = (type: Type) =>
    compiler.propertyOf(type, "_tag") !== undefined && compiler.propertyOf(type, "message") !== undefined

  const look = (type: Type, via: string): void => {
    if (seen.has(type.id)) return
    seen.add(type.id)
    for (const part of compiler.partsOf(type)) look(part, via)
    const symbol = type.getSymbol()
    if (symbol === undefined || compiler.fileOf(symbol) === null) return
    if (compiler.isNamed(symbol)) {
      if (opaque.has(symbol.name)) return
      if (!exported.has(symbol.id) && !hidden.has(symbol.id)) {
        hidden.set(symbol.id, { name: symbol.name, isError: isError(type), via })
      }
    }
    for (const property of compiler.propertiesOf(type)) {
      if (compiler.fileOf(property) === null && property.name !== "Service") continue
      for (const inner of compiler.typesOf(property)) look(inner, `${via}.${property.name}`)
    }
  }

  for (const name of names) {
    if (opaque.has(name.symbol.name)) continue
    for (const type of compiler.typesOf(name.symbol)) look(type, fullName(name))
  }
  return [...hidden.values()]
}
