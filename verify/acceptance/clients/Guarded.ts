/**
 * Replicas with users and rules, on the same catalogue and store as the others. One asks for name and password with each
 * request, one issues tokens, and one accepts the tokens of distribution's own token server.
 */
import assert from "node:assert/strict"
import { generateKeyPairSync } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { hash } from "bcryptjs"
import { type Daemon, freePort, type Group, until } from "../../../tools/servers/Processes.ts"
import type { Found } from "../../../tools/servers/Servers.ts"
import { type Replica, type Settings, startReplica } from "../Replicas.ts"
import { startFront } from "./Front.ts"
import { settings } from "./Registry.ts"
import type { Tools } from "./Tools.ts"

/** A user with rights, with a password that has what passwords have. */
export const user = { name: "ci", password: "pass: wörd" }

export const flowNames = ["name and password", "tokens", "tokens of another program"] as const

/** How clients log in at a replica. */
export interface Flow {
  readonly name: (typeof flowNames)[number]
  readonly url: string
  /** The first part of the repositories to which the user may push. */
  readonly own: string
  /** Whether clients without credentials may pull from `public/`. */
  readonly isOpen: boolean
}

/** The replicas with users. */
export interface Guarded {
  /** The replica that issues tokens. */
  readonly url: string
  /** Returns a way to log in. Fails if its token server could not be built or started. */
  readonly flow: (name: Flow["name"]) => Flow
  readonly stop: () => Promise<void>
}

const mine = `${user.name}  pull,push  team/** public/**`

const rules = { basic: mine, tokens: `anonymous  pull  public/**\n${mine}` }

interface TokenServer {
  readonly url: string
  /** The file of its public key. */
  readonly keys: string
  readonly daemon: Daemon
}

/** Starts distribution's token server. Its rule: a user may do everything below the repository of that name. */
const startTokenServer = async (
  group: Group,
  tools: Tools,
  folder: string,
  users: string
): Promise<TokenServer> => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const key = join(folder, "token-server.key")
  const keys = join(folder, "token-server.pub")
  writeFileSync(key, privateKey.export({ format: "pem", type: "sec1" }))
  writeFileSync(keys, publicKey.export({ format: "pem", type: "spki" }))
  const port = await freePort()
  const daemon = group.daemon(
    tools.program("token-server"),
    [
      "-addr",
      `127.0.0.1:${port}`,
      "-issuer",
      "tokens.test",
      "-key",
      key,
      "-passwd",
      users,
      "-realm",
      "tokens"
    ],
    { env: tools.env, cwd: folder, logFile: join(folder, "token-server.log") }
  )
  const url = `http://127.0.0.1:${port}`
  const isUp = () =>
    fetch(url).then(
      () => true,
      () => false
    )
  await until("token-server", daemon, 10_000, isUp)
  return { url, keys, daemon }
}

interface Foreign {
  readonly url: string
  readonly stop: () => Promise<unknown>
}

/**
 * Starts a replica that accepts the tokens of distribution's token server. Both have one address, because crane and oras
 * refuse a token server at another private address than the registry's.
 */
const startForeign = async (
  start: (name: string, settings: Settings) => Promise<Replica>,
  startTokens: () => Promise<TokenServer>
): Promise<Foreign> => {
  const tokens = await startTokens()
  let registry = ""
  const front = await startFront((path) => (path.startsWith("/token/") ? tokens.url : registry))
  const replica = await start("foreign", {
    REGISTRY_TOKEN_REALM: `${front.url}/token/`,
    REGISTRY_TOKEN_SERVICE: "artifact registry",
    REGISTRY_TOKEN_ISSUER: "tokens.test",
    REGISTRY_TOKEN_KEYS: tokens.keys
  })
  registry = replica.url
  return {
    url: front.url,
    stop: () => Promise.all([front.close(), replica.daemon.stop(), tokens.daemon.stop()])
  }
}

/** Starts the replicas. They collect nothing, because the others do. */
export const startGuarded = async (
  group: Group,
  servers: Found,
  tools: Tools,
  folder: string
): Promise<Guarded> => {
  const users = join(folder, "users")
  writeFileSync(users, `${user.name}:${await hash(user.password, 10)}\n`)
  const start = (name: string, own: Settings | ((url: string) => Settings)) =>
    startReplica(group, servers, name, {
      settings: (url) => ({ ...settings, ...(typeof own === "function" ? own(url) : own) }),
      flags: ["--no-collect"]
    })
  const startWithUsers = (name: keyof typeof rules, more: (url: string) => Settings) => {
    const access = join(folder, `access-${name}`)
    writeFileSync(access, rules[name])
    return start(name, (url) => ({ REGISTRY_HTPASSWD: users, REGISTRY_ACCESS: access, ...more(url) }))
  }
  const [basic, tokens] = await Promise.all([
    startWithUsers("basic", () => ({})),
    startWithUsers("tokens", (url) => ({ REGISTRY_URL: url }))
  ])
  const foreign = await startForeign(start, () => startTokenServer(group, tools, folder, users)).catch(
    (error: unknown) => ({ error })
  )
  const flows = flowsOf(basic, tokens)
  return {
    url: tokens.url,
    flow: (name) => {
      if (name !== "tokens of another program") return flows[name]
      if ("error" in foreign) throw foreign.error
      return { name, url: foreign.url, own: user.name, isOpen: false }
    },
    stop: async () => {
      if (!("error" in foreign)) await foreign.stop()
      await Promise.all([basic.daemon.stop(), tokens.daemon.stop()])
    }
  }
}

const flowsOf = (basic: Replica, tokens: Replica) => ({
  "name and password": { name: "name and password", url: basic.url, own: "team", isOpen: false } as const,
  tokens: { name: "tokens", url: tokens.url, own: "team", isOpen: true } as const
})

/** Asserts that a command fails, and says what it must. */
export const refused = async (run: () => Promise<unknown>, words: RegExp): Promise<void> => {
  const message = await run().then(
    () => null,
    (error: unknown) => String(error)
  )
  assert.ok(message !== null, "the command succeeded")
  assert.match(message, words)
}
