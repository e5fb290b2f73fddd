/**
 * Three projects, run by tools/test.ts. `unit` needs nothing but npm's packages. `fast` is a part of it, for
 * the inner loop (tools/TestFiles.ts). `real` needs the servers that tools/servers starts.
 *
 * Files of `unit` and `fast` share their workers: to import Effect and the sources anew for each file took a
 * ninth of the time (2026-11-29). A file must therefore leave nothing behind in a module that another file
 * sees.
 */
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"
import { rankOf, slow, testFiles } from "./tools/TestFiles.ts"
import "./tools/VitestOnNode20.ts"

const real = "test/**/*.real.test.ts"

const source = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

/** The package by its name, as the apps of examples/ import it. tsconfig.json has the same list for the compiler. */
const alias = [
  { find: /^artifact-gc$/, replacement: source("index.ts") },
  { find: /^artifact-gc\/s3$/, replacement: source("s3.ts") },
  { find: /^artifact-gc\/oci$/, replacement: source("oci/index.ts") },
  { find: /^artifact-gc\/embedded$/, replacement: source("embedded.ts") },
  { find: /^artifact-gc\/testing$/, replacement: source("testing/index.ts") }
]

const include = ["test/**/*.test.ts", "examples/**/*.test.ts"]

const unit = { include, isolate: false, testTimeout: 30_000, hookTimeout: 60_000 }

class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const sorted = await super.sort(files)
    return sorted.sort((a, b) => rankOf(a.moduleId) - rankOf(b.moduleId))
  }
}

export default defineConfig({
  resolve: { alias },
  test: {
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          ...unit,
          name: "unit",
          exclude: [real],
          // One more than two cores can run, because some files wait more than they work. More would slow down
          // tests of time. The group is its own: vitest wants one number of workers for a group.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
          globalSetup: ["test/fixtures/EmbeddedServer.ts"],
          setupFiles: ["test/fixtures/EachFile.ts"]
        }
      },
      {
        extends: true,
        test: { ...unit, name: "fast", exclude: [real, ...slow.flatMap(({ name }) => testFiles(name))] }
      },
      {
        extends: true,
        test: {
          name: "real",
          include: [real],
          setupFiles: ["test/fixtures/EachFile.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000
        }
      }
    ]
  }
})
