/** The commands of Redis that the app uses. `layer` keeps the data in this process; a client of yours replaces it. */
import { Context, Data, Effect, Layer } from "effect"

export class RedisDown extends Data.TaggedError("RedisDown")<{ readonly message: string }> {}

export class Redis extends Context.Service<
  Redis,
  {
    readonly hget: (key: string, field: string) => Effect.Effect<string | null, RedisDown>
    readonly hset: (key: string, field: string, value: string) => Effect.Effect<void, RedisDown>
    readonly hdel: (key: string, field: string) => Effect.Effect<void, RedisDown>
    readonly sadd: (key: string, member: string) => Effect.Effect<void, RedisDown>
    readonly srem: (key: string, member: string) => Effect.Effect<void, RedisDown>
    /** EXISTS for each key, in one pipeline. */
    readonly exists: (keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<boolean>, RedisDown>
  }
>()("reference-source/Redis") {
  static readonly layer = Layer.sync(Redis, () => {
    const hashes = new Map<string, Map<string, string>>()
    const sets = new Map<string, Set<string>>()
    const hash = (key: string) => hashes.get(key) ?? new Map<string, string>()
    return Redis.of({
      hget: (key, field) => Effect.sync(() => hash(key).get(field) ?? null),
      hset: (key, field, value) => Effect.sync(() => void hashes.set(key, hash(key).set(field, value))),
      hdel: (key, field) => Effect.sync(() => void hash(key).delete(field)),
      sadd: (key, member) => Effect.sync(() => void sets.set(key, (sets.get(key) ?? new Set()).add(member))),
      srem: (key, member) =>
        Effect.sync(() => {
          const set = sets.get(key)
          set?.delete(member)
          if (set?.size === 0) sets.delete(key)
        }),
      exists: (keys) => Effect.sync(() => keys.map((key) => sets.has(key)))
    })
  })
}
