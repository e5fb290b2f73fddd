/**
 * Three projects, run by tools/test.ts. `unit` needs nothing but npm's packages. `fast` is a part of it, for the inner
 * loop (tools/TestFiles.ts). `real` needs the servers that tools/servers starts.
 *
 * Files of `unit` and `fast` share their workers: to import Effect and the sources anew for each file took a ninth of
 * the time (2026-11-29). A file must therefore leave nothing behind in a module that another file sees.
 */
import { defineConfig } from "vitest/config"
import { slow, testFiles } from "./tools/TestFiles.ts"
import "./tools/VitestOnNode20.ts"

const real = "test/**/*.real.test.ts"

const unit = { include: ["test/**/*.test.ts"], isolate: false, testTimeout: 30_000, hookTimeout: 60_000 }

export default defineConfig({
  test: {
    // The databases need the other cores.
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
