/** `artifact-gc serve` over https, as a process: certificates that are renewed, secrets that are rotated, and signals. */
import { copyFileSync, renameSync, writeFileSync } from "node:fs"
import type { IncomingHttpHeaders } from "node:http"
import { Agent, request } from "node:https"
import { join } from "node:path"
import { connect } from "node:tls"
import { Effect, Exit, Scope } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { buildSingleFile, logLines, type Program, type Run, start } from "../../fixtures/cli/Program.ts"
import { type Authority, authority, type Pair, text } from "../../fixtures/tls/Authority.ts"
import { eventually } from "../../fixtures/Until.ts"

const scope = Scope.makeUnsafe()
let program: Program
let own: Authority
/** What the program reads. */
let files: Readonly<Record<"cert" | "key" | "password" | "token", string>>
let serve: Run
let url: string
let ops: string

const replace = (path: string, content: string) => {
  writeFileSync(`${path}.new`, content)
  renameSync(`${path}.new`, path)
}

const install = (pair: Pair) => {
  replace(files.key, text(pair.key))
  replace(files.cert, text(pair.cert))
}

const addressIn = (pattern: RegExp): string =>
  (pattern.exec(serve.err()) ?? assert.fail(serve.err()))[1] ?? ""

beforeAll(async () => {
  program = await buildSingleFile()
  own = await Effect.runPromise(Scope.provide(authority, scope))
  const at = (name: string) => join(own.directory, name)
  files = { cert: at("tls.crt"), key: at("tls.key"), password: at("password"), token: at("token") }
  install(own.sign("first"))
  replace(files.password, "first-password\n")
  replace(files.token, "first-token\n")
  serve = start(process.execPath, [program.path, "serve", "--serve-port", "0"], {
    cwd: program.directory("serve"),
    env: {
      SERVE_TLS_CERT: files.cert,
      SERVE_TLS_KEY: files.key,
      OPS_PORT: "0",
      OPS_TLS_CERT: files.cert,
      OPS_TLS_KEY: files.key,
      REGISTRY_USERNAME: "ci",
      REGISTRY_PASSWORD_FILE: files.password,
      REGISTRY_TOKEN_FILE: files.token,
      REGISTRY_URL: "https://registry.example"
    }
  })
  await serve.says(/Serving an OCI registry at .*\n/)
  url = addressIn(/Serving an OCI registry at (https:[\w.:/]+)\."/)
  ops = addressIn(/[Mm]etrics and probes at (https:[\w.:/]+): /)
}, 60_000)
afterAll(async () => {
  program?.remove()
  await Effect.runPromise(Scope.close(scope, Exit.void))
})

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Asks on a connection of its own, and verifies the server. */
const ask = (
  address: string,
  options: { readonly method?: string; readonly auth?: string; readonly bearer?: string } = {}
) =>
  new Promise<Answer>((resolve, reject) => {
    const agent = new Agent({ ca: text(own.ca), maxCachedSessions: 0 })
    const { auth, bearer, method = "GET" } = options
    const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }
    const asked = request(
      address,
      { agent, method, headers, ...(auth === undefined ? {} : { auth }) },
      (response) => {
        let body = ""
        response.setEncoding("utf8").on("data", (data: string) => {
          body += data
        })
        response.once("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body })
        )
      }
    )
    asked.once("error", reject).end()
  })

/** Returns the name in the certificate that the server presents. */
const presented = () =>
  new Promise<string>((resolve, reject) => {
    const { hostname: host, port } = new URL(url)
    const socket = connect({ host, port: Number(port), ca: text(own.ca) }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    }).once("error", reject)
  })

const messages = () => logLines(serve.err()).map(({ message }) => message)

describe("a registry with a certificate", { timeout: 60_000 }, () => {
  it("speaks https alone, in TLS 1.2 or newer, and its challenge and addresses keep the scheme", async () => {
    const challenge = await ask(`${url}/v2/`)
    assert.strictEqual(challenge.status, 401)
    assert.match(
      challenge.headers["www-authenticate"] ?? "",
      /^Bearer realm="https:\/\/registry\.example\/token"/
    )
    const begun = await ask(`${url}/v2/a/blobs/uploads/`, { method: "POST", bearer: "first-token" })
    assert.strictEqual(begun.status, 202)
    assert.match(begun.headers.location ?? "", /^\/v2\/a\/blobs\/uploads\//)
    assert.strictEqual((await ask(`${ops}/livez`)).body, "alive\n")
    const plain = await fetch(url.replace("https:", "http:")).then(
      () => "answered",
      () => "refused"
    )
    assert.strictEqual(plain, "refused")
    const { hostname: host, port } = new URL(url)
    const old = await new Promise<string>((resolve) => {
      const options = {
        host,
        port: Number(port),
        minVersion: "TLSv1",
        maxVersion: "TLSv1.1",
        ca: text(own.ca)
      } as const
      const socket = connect({ ...options, ciphers: "DEFAULT@SECLEVEL=0" }, () => resolve("connected"))
      socket.once("error", () => resolve("refused"))
    })
    assert.strictEqual(old, "refused")
  })

  it("presents a renewed certificate within two seconds, and keeps it when the next cannot be used", async () => {
    assert.strictEqual(await presented(), "first")
    install(own.sign("second"))
    await eventually("the second is presented", async () => (await presented()) === "second", {
      everyMillis: 100
    })

    const broken: ReadonlyArray<readonly [what: string, cert: string, says: RegExp]> = [
      [
        "another key",
        text(own.sign("third").cert),
        /SERVE_TLS_KEY: .* does not belong to the certificate in .*/
      ],
      ["damaged", "no certificate", /SERVE_TLS_CERT: .* holds no certificate in PEM, or a damaged one\./]
    ]
    for (const [what, cert, says] of broken) {
      replace(files.cert, cert)
      // At once, where a look by itself waits for a program that writes both files.
      serve.child.kill("SIGHUP")
      await serve.says(says)
      assert.strictEqual(await presented(), "second", what)
    }
    const expired = own.sign("expired", { days: -1 })
    install(expired)
    await serve.says(/SERVE_TLS_CERT: .* has expired on .*What was read before stays in force/)
    assert.strictEqual(await presented(), "second")
    const { body } = await ask(`${ops}/metrics`)
    assert.match(body, /^artifact_gc_reloads_total\{of="registry",result="refused"\} [1-9]/m)
    assert.match(body, /^artifact_gc_certificate_expiry_timestamp_seconds\{of="registry"\} \d+$/m)
    install(own.sign("fourth"))
    await eventually("the fourth is presented", async () => (await presented()) === "fourth", {
      everyMillis: 100
    })
  })

  it("takes a rotated password and token from their files, and an empty file changes nothing", async () => {
    const status = async (options: Parameters<typeof ask>[1]) => (await ask(`${url}/v2/`, options)).status
    assert.strictEqual(await status({ auth: "ci:first-password" }), 200)
    replace(files.password, "second-password")
    replace(files.token, "second-token")
    await eventually("the second counts", async () => (await status({ auth: "ci:second-password" })) === 200)
    await eventually("the token, too", async () => (await status({ bearer: "second-token" })) === 200)
    assert.strictEqual(await status({ auth: "ci:first-password" }), 401)
    assert.strictEqual(await status({ bearer: "first-token" }), 401)
    replace(files.token, "\n")
    await serve.says(/REGISTRY_TOKEN_FILE: .* is empty; write the value of REGISTRY_TOKEN into it\./)
    assert.strictEqual(await status({ bearer: "second-token" }), 200)
    assert.strictEqual(await status({}), 401)
  })

  it("looks at every file on SIGHUP, and says what needs a restart", async () => {
    const summaries = () => messages().filter((message) => message.startsWith("SIGHUP: "))
    const before = summaries().length
    replace(files.token, "third-token")
    serve.child.kill("SIGHUP")
    await serve.says(/SIGHUP: /, before + 1)
    const line = summaries().at(-1)
    assert.match(line ?? "", /REGISTRY_TOKEN_FILE/)
    assert.match(line ?? "", /unchanged: .*SERVE_TLS_CERT and SERVE_TLS_KEY/)
    assert.match(line ?? "", /Flags and variables of the environment need a restart\.$/)
    assert.strictEqual((await ask(`${url}/v2/`, { bearer: "third-token" })).status, 200)
  })

  it("writes no secret to its log, and stops on SIGTERM", async () => {
    serve.child.kill("SIGTERM")
    assert.strictEqual(await serve.ended, 0, serve.err())
    assert.strictEqual(messages().at(-1), "Stopped.")
    assert.notMatch(serve.err(), /(first|second|third)-(password|token)/)
  })
})

describe("a certificate that cannot be used", { timeout: 60_000 }, () => {
  it("is refused at the start with exit code 2", async () => {
    const expired = own.sign("late", { days: -1 })
    copyFileSync(expired.cert, files.cert)
    const run = start(process.execPath, [program.path, "serve", "--serve-port", "0", "--no-collect"], {
      cwd: program.directory("expired"),
      env: { SERVE_TLS_CERT: expired.cert, SERVE_TLS_KEY: expired.key }
    })
    assert.strictEqual(await run.ended, 2)
    assert.match(logLines(run.err()).at(-1)?.message ?? "", /^SERVE_TLS_CERT: .* has expired on/)
  })
})
