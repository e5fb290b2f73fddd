/**
 * Two projects, run by tools/test.ts. `unit` needs nothing but npm's packages. `real` needs the servers that
 * tools/servers starts. Two workers at most: the databases need the other cores.
 */
import { defineConfig } from "vitest/config"
import "./tools/VitestOnNode20.ts"

const real = "test/**/*.real.test.ts"

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [real],
          globalSetup: ["test/fixtures/EmbeddedServer.ts"],
          testTimeout: 30_000,
          hookTimeout: 60_000
        }
      },
      {
        extends: true,
        test: { name: "real", include: [real], testTimeout: 120_000, hookTimeout: 120_000 }
      }
    ]
  }
})
