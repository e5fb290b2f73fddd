/**
 * Defines the functions that vitest 5 calls and Node 20 lacks. Without them vitest runs the tests but crashes
 * when it reports a failure, and the reason of the failure is lost. vitest.config.ts imports this file, so it
 * affects vitest's main process alone and no test. Delete it when Node 20 is no longer supported.
 */

const define = (owner: object, name: string, value: unknown): void => {
  if (!(name in owner)) Object.defineProperty(owner, name, { value, writable: true, configurable: true })
}

const groupBy = <K, A>(items: Iterable<A>, keyOf: (item: A, index: number) => K): Map<K, Array<A>> => {
  const groups = new Map<K, Array<A>>()
  let index = 0
  for (const item of items) {
    const key = keyOf(item, index++)
    const group = groups.get(key)
    if (group) group.push(item)
    else groups.set(key, [item])
  }
  return groups
}

define(Map, "groupBy", groupBy)

define(Object, "groupBy", <A>(items: Iterable<A>, keyOf: (item: A, index: number) => PropertyKey) =>
  Object.assign(Object.create(null), Object.fromEntries(groupBy(items, keyOf)))
)

define(Promise, "withResolvers", <A>() => {
  let resolve: (value: A) => void = () => {}
  let reject: (reason: unknown) => void = () => {}
  const promise = new Promise<A>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
})
