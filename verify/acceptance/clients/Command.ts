/** Clients that are one program, and what they write. */
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { Context } from "./Context.ts"
import type { Pushable } from "./Images.ts"
import type { ProgramName } from "./Programs.ts"

/** Runs a client's command and returns its standard output. */
export type Command = (...args: ReadonlyArray<string>) => Promise<string>

/** Returns the folder of a client's own files. */
export const homeOf = ({ folder }: Pick<Context, "folder">, name: string): string => {
  const home = join(folder, `home-${name}`)
  mkdirSync(home, { recursive: true })
  return home
}

/** Returns a client that is built, run in {@link homeOf}. Its build's error is the error of each command. */
export const command = (
  context: Pick<Context, "folder" | "group" | "tools">,
  name: ProgramName,
  env: NodeJS.ProcessEnv = {}
): Command => {
  const home = homeOf(context, name)
  return async (...args) =>
    await context.group.run(context.tools.program(name), args, {
      cwd: home,
      env: {
        ...{ PATH: process.env.PATH, HOME: home, TMPDIR: context.tools.env.TMPDIR },
        DOCKER_CONFIG: join(home, "docker"),
        ...env
      }
    })
}

/** Asserts that an OCI layout, which a client wrote, holds each byte of an image. */
export const expectLayout = (folder: string, image: Pushable): void => {
  for (const { digest, bytes } of image.blobs) {
    const file = join(folder, "blobs", ...digest.split(":"))
    assert.ok(bytes.equals(readFileSync(file)), `the bytes of ${digest}`)
  }
}

/** Asserts that each file of an OCI layout has the digest of its name. Returns the digests. */
export const digestsOf = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(folder, "blobs")).flatMap((algorithm) =>
    readdirSync(join(folder, "blobs", algorithm)).map((hex) => {
      const bytes = readFileSync(join(folder, "blobs", algorithm, hex))
      assert.equal(createHash(algorithm).update(bytes).digest("hex"), hex, "the digest of a file")
      return `${algorithm}:${hex}`
    })
  )

/** Runs something and returns how many blobs were mounted meanwhile. */
export const mountsOf = async ({ registry }: Context, run: () => Promise<unknown>): Promise<number> => {
  const before = registry.balancer.mounts()
  await run()
  return registry.balancer.mounts() - before
}
