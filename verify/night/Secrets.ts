/** The replicas know two secrets, which were drawn at random. Nothing that they show may have them. */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import type { Check } from "../acceptance/clients/Report.ts"
import type { World } from "./World.ts"

const textAt = (url: string): Promise<string> => fetch(url).then((response) => response.text())

/** Returns all that the replicas and the commands show after a night of failures, by name. */
const shownBy = async ({
  command,
  places,
  replicas
}: World): Promise<ReadonlyArray<readonly [string, string]>> => {
  const commands = [
    ["status"],
    ["status", "--json"],
    ["history"],
    ["history", "--json"],
    ["doctor"],
    ["collectors"]
  ]
  return [
    ...replicas.flatMap(
      ({ daemon, logFile }, n): ReadonlyArray<readonly [string, string]> => [
        [`the log of replica ${n + 1}`, readFileSync(logFile, "utf8")],
        [`the arguments of replica ${n + 1}`, readFileSync(`/proc/${daemon.pid}/cmdline`, "utf8")]
      ]
    ),
    ...(await Promise.all(
      places.pages.flatMap((page) =>
        ["", "metrics", "readyz"].map(
          async (path) => [`${page}${path}`, await textAt(`${page}${path}`)] as const
        )
      )
    )),
    ...(await Promise.all(
      commands.map(async (words) => [words.join(" "), (await command(...words)).all] as const)
    ))
  ]
}

/** Returns the check. The environment of a replica has both secrets, which shows that they would be found. */
export const check = (world: World): Check => ({
  name: "no secret is in a log, a page, metrics, arguments or the output of a command",
  run: async () => {
    const secrets = [world.servers.s3.secretAccessKey, new URL(world.servers.databaseUrl).password]
    const environment = readFileSync(`/proc/${world.replicas[0]?.daemon.pid}/environ`, "utf8")
    for (const secret of secrets) assert.ok(secret.length >= 16 && environment.includes(secret))
    const shown = await shownBy(world)
    for (const [name, text] of shown) {
      assert.ok(text.length > 0, `${name} is empty`)
      for (const secret of secrets) assert.ok(!text.includes(secret), `${name} has a secret`)
    }
    return `${shown.length} texts`
  }
})
