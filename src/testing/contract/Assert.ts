/**
 * The assertions of the exported contracts. They throw Node's `AssertionError`, which every test runner shows
 * with both values, and need no runner. A message of the case precedes what differs and does not replace it.
 */
import { AssertionError, deepStrictEqual as deepEqual } from "node:assert/strict"
import { inspect } from "node:util"

const fail = (
  what: string,
  message: string | undefined,
  values: { readonly actual?: unknown; readonly expected?: unknown } = {}
): never => {
  throw new AssertionError({ message: message === undefined ? what : `${message}: ${what}`, ...values })
}

const shown = (value: unknown): string =>
  inspect(value, { depth: 5, maxArrayLength: 20, maxStringLength: 200 })

/** Fails unless `actual` and `expected` have the same content. */
export const deepStrictEqual = (actual: unknown, expected: unknown, message?: string): void => {
  try {
    deepEqual(actual, expected)
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error), message, { actual, expected })
  }
}

/** Fails unless the two are the same value. */
export const strictEqual = (actual: unknown, expected: unknown, message?: string): void => {
  if (!Object.is(actual, expected)) {
    fail(`expected ${shown(expected)}, found ${shown(actual)}`, message, { actual, expected })
  }
}

/** Fails if the two are the same value. */
export const notStrictEqual = (actual: unknown, unexpected: unknown, message?: string): void => {
  if (Object.is(actual, unexpected)) fail(`expected another value than ${shown(unexpected)}`, message)
}

/** Fails unless `actual` has each property of `expected`, with the same content. */
export const deepInclude = (actual: unknown, expected: object, message?: string): void => {
  const isObject = typeof actual === "object" && actual !== null
  const found = isObject
    ? Object.fromEntries(Object.keys(expected).map((name) => [name, Reflect.get(actual, name)]))
    : actual
  deepStrictEqual(found, expected, message)
}

/** Fails unless the value is true. */
export const isTrue = (actual: unknown, message?: string): void => strictEqual(actual, true, message)

/** Fails unless the value is undefined. */
export const isUndefined = (actual: unknown, message?: string): void =>
  strictEqual(actual, undefined, message)

/** Fails for an empty text. */
export const isNotEmpty = (actual: string, message?: string): void => {
  if (actual === "") fail("expected a text that is not empty", message)
}

/** Fails unless the value is an instance of the class. */
export const instanceOf = (
  actual: unknown,
  expected: abstract new (...args: never) => unknown,
  message?: string
): void => {
  if (!(actual instanceof expected)) fail(`expected a ${expected.name}, found ${shown(actual)}`, message)
}

/** Fails unless the list contains the value. */
export const include = (list: ReadonlyArray<unknown>, value: unknown, message?: string): void => {
  if (!list.includes(value)) fail(`expected one of ${shown(list)}, found ${shown(value)}`, message)
}

/** Fails unless the number is at least `limit`. */
export const isAtLeast = (actual: number, limit: number, message?: string): void => {
  if (!(actual >= limit)) fail(`expected at least ${limit}, found ${actual}`, message)
}

/** Fails unless the number is greater than `limit`. */
export const isAbove = (actual: number, limit: number, message?: string): void => {
  if (!(actual > limit)) fail(`expected more than ${limit}, found ${actual}`, message)
}

/** Fails unless the number is less than `limit`. */
export const isBelow = (actual: number, limit: number, message?: string): void => {
  if (!(actual < limit)) fail(`expected less than ${limit}, found ${actual}`, message)
}
