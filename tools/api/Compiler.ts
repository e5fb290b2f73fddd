/**
 * The sources as the compiler sees them. This folder alone uses TypeScript's programming interface, which TypeScript 7 calls
 * unstable. The compiler runs as a process of its own and answers each question synchronously.
 */
import {
  API,
  type Checker,
  type Program,
  SignatureKind,
  type Symbol,
  SymbolFlags,
  type Type
} from "typescript/unstable/sync"
import { fileAt, root } from "../Repository.ts"

/** Answers questions about symbols and types of the files below `folder`. */
export class Compiler {
  readonly #checker: Checker
  readonly #program: Program
  readonly #folder: string

  constructor(program: Program, checker: Checker, folder: string) {
    this.#program = program
    this.#checker = checker
    this.#folder = folder
  }

  /** Returns what a module exports, each name with the symbol that it stands for. */
  exportsOf(module: Symbol): ReadonlyArray<readonly [name: string, symbol: Symbol]> {
    return this.#checker.getExportsOfModule(module).map((symbol) => [symbol.name, this.#original(symbol)])
  }

  /** Returns the module of a file below the folder. */
  moduleOf(file: string): Symbol {
    const source = this.#program.getSourceFile(`${this.#folder}/${file}`)
    const symbol = source === undefined ? undefined : this.#checker.getSymbolAtLocation(source)
    if (symbol === undefined) throw new Error(`${this.#folder}/${file} exports nothing.`)
    return symbol
  }

  isModule(symbol: Symbol): boolean {
    return (symbol.flags & SymbolFlags.ValueModule) !== 0
  }

  /** Whether the symbol is a class or an interface, or a type that has a name. */
  isNamed(symbol: Symbol): boolean {
    return (symbol.flags & (SymbolFlags.Class | SymbolFlags.Interface)) !== 0
  }

  docsOf(symbol: Symbol): string {
    return symbol.getDocumentationComment(this.#checker).trim()
  }

  /** The file that declares it, relative to the folder. Null if that is elsewhere: a symbol of another package. */
  fileOf(symbol: Symbol): string | null {
    const path: string = symbol.declarations[0]?.path ?? ""
    const own = `${this.#folder}/`
    return path.toLowerCase().startsWith(own.toLowerCase()) ? path.slice(own.length) : null
  }

  /** The types of a symbol: of its values, and as a type. */
  typesOf(symbol: Symbol): ReadonlyArray<Type> {
    const isValue = (symbol.flags & (SymbolFlags.Value | SymbolFlags.Property | SymbolFlags.Method)) !== 0
    const isType = (symbol.flags & SymbolFlags.Type) !== 0
    return [
      ...(isValue ? [this.#checker.getTypeOfSymbol(symbol)] : []),
      ...(isType ? [this.#checker.getDeclaredTypeOfSymbol(symbol)] : [])
    ].filter((type) => type !== undefined)
  }

  propertiesOf(type: Type): ReadonlyArray<Symbol> {
    return this.#checker.getPropertiesOfType(type)
  }

  propertyOf(type: Type, name: string): Symbol | undefined {
    return this.#checker.getPropertyOfType(type, name)
  }

  /** The types of which a union or an intersection consists, the arguments of a type, and those of a function. */
  partsOf(type: Type): ReadonlyArray<Type> {
    if (type.isUnionType() || type.isIntersectionType()) return type.getTypes()
    const alias = type.getAliasSymbol() === undefined ? [] : type.getAliasTypeArguments()
    const own = type.isTypeReference() ? this.#checker.getTypeArguments(type) : []
    const signatures = type.isObjectType() ? this.#checker.getSignaturesOfType(type, SignatureKind.Call) : []
    return [
      ...alias,
      ...own,
      ...signatures.flatMap((signature) => [
        ...signature.getParameters().map((_, index) => this.#checker.getParameterType(signature, index)),
        this.#checker.getReturnTypeOfSignature(signature)
      ])
    ].filter((part) => part !== undefined)
  }

  /** The text of each declaration, without its docstring. */
  textsOf(symbol: Symbol): ReadonlyArray<string> {
    return symbol.declarations.flatMap((handle) => handle.resolve()?.getText() ?? [])
  }

  /** The whole text of the file that declares the symbol. */
  fileTextOf(symbol: Symbol): string {
    return symbol.declarations[0]?.resolve()?.getSourceFile().text ?? ""
  }

  #original(symbol: Symbol): Symbol {
    return (symbol.flags & SymbolFlags.Alias) === 0 ? symbol : this.#checker.getAliasedSymbol(symbol)
  }
}

/** Opens a project and passes its compiler to `use`. `folder` holds its sources. Paths are relative to the repository. */
export const withCompiler = <A>(project: string, folder: string, use: (compiler: Compiler) => A): A => {
  const api = new API({ cwd: root })
  try {
    const file = fileAt(project)
    const opened = api.updateSnapshot({ openProject: file }).getProject(file)
    if (opened === undefined) throw new Error(`The compiler cannot open ${project}.`)
    return use(new Compiler(opened.program, opened.checker, fileAt(folder)))
  } finally {
    api.close()
  }
}
