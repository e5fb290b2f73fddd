/** The plans by which verbs run, read where they run: in their own transactions, with what these have set. */
import { Effect } from "effect"
import { Statement } from "effect/sql"

export interface Explained {
  readonly statement: string
  readonly parameters: ReadonlyArray<unknown>
  /** The rows of EXPLAIN. */
  readonly plan: ReadonlyArray<unknown>
}

/** The plans of the statements of `effect` that name `table`, made before each is run. */
const explained = <A, E, R>(options: string, table: string, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const found: Array<Explained> = []
    const transformer: Statement.Transformer = (self, sql) => {
      const [statement, parameters] = self.compile()
      if (!statement.includes(table)) return Effect.succeed(self)
      return sql
        .unsafe<{ readonly "QUERY PLAN": unknown }>(`EXPLAIN (${options}) ${statement}`, parameters)
        .pipe(
          Effect.provideService(Statement.CurrentTransformer, undefined),
          Effect.map((rows) => {
            found.push({ statement, parameters, plan: rows.map((row) => row["QUERY PLAN"]) })
            return self
          }),
          Effect.orDie
        )
    }
    yield* Effect.provideService(effect, Statement.CurrentTransformer, transformer)
    return found
  })

/** As text, each below its statement. */
export const plansOf = <A, E, R>(table: string, effect: Effect.Effect<A, E, R>) =>
  Effect.map(explained("COSTS OFF", table, effect), (found) =>
    found.map(({ statement, plan }) => [statement, ...plan].join("\n"))
  )

/** A node of a plan. */
export interface Node {
  readonly "Node Type": string
  readonly "Relation Name"?: string
  readonly "Index Cond"?: string
  readonly "Join Filter"?: string
  readonly "Subplan Name"?: string
  readonly Plans?: ReadonlyArray<Node>
}

export const asTree = "COSTS OFF, FORMAT JSON"

/** The root of what EXPLAIN answered. */
export const rootOf = (plan: ReadonlyArray<unknown>): Node => {
  const [answer] = plan
  const [{ Plan }] = (typeof answer === "string" ? JSON.parse(answer) : answer) as [{ Plan: Node }]
  return Plan
}

/** The same as trees. */
export const treesOf = <A, E, R>(table: string, effect: Effect.Effect<A, E, R>) =>
  Effect.map(explained(asTree, table, effect), (found) =>
    found.map((one) => ({ ...one, root: rootOf(one.plan) }))
  )

/** A node and what is below it, but for the branches that begin with what `isApart`. */
export const nodesOf = (node: Node, isApart: (node: Node) => boolean = () => false): ReadonlyArray<Node> => [
  node,
  ...(node.Plans ?? []).filter((one) => !isApart(one)).flatMap((one) => nodesOf(one, isApart))
]

/** Those that read a table. */
export const readsOf = (nodes: ReadonlyArray<Node>): ReadonlyArray<Node> =>
  nodes.filter((node) => node["Relation Name"] !== undefined && node["Node Type"] !== "ModifyTable")
