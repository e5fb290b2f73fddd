/**
 * Three projects, run by tools/test.ts. `unit` needs nothing but npm's packages. `fast` is the part of it that starts no
 * PostgreSQL: files that do are named `*.postgres.test.ts`. `real` needs the servers that tools/servers starts.
 *
 * Files of `unit` and `fast` share their workers, because to import Effect and the sources anew for each took a ninth of
 * the time (2026-11-29). A file must therefore leave no state in a module that another file would see.
 */
import { defineConfig } from "vitest/config"
import "./tools/VitestOnNode20.ts"

const real = "test/**/*.real.test.ts"

const unit = { include: ["test/**/*.test.ts"], isolate: false, testTimeout: 30_000, hookTimeout: 60_000 }

export default defineConfig({
  test: {
    // Two workers at most: the databases need the other cores.
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          ...unit,
          name: "unit",
          exclude: [real],
          globalSetup: ["test/fixtures/EmbeddedServer.ts"],
          setupFiles: ["test/fixtures/EachFile.ts"]
        }
      },
      {
        extends: true,
        test: { ...unit, name: "fast", exclude: [real, "test/**/*.postgres.test.ts", "test/**/{Crash,Faults,Mutants}.test.ts"] }
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
