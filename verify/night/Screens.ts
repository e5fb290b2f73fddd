/** Pictures of the page, if Chromium is installed and a folder for them was given. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Chromium from "../../tools/servers/Chromium.ts"
import { cacheFolder } from "../../tools/servers/Servers.ts"

/** Takes pictures. */
export interface Screens {
  /** Writes `night-NAME.png`, in the light or the dark mode. */
  readonly take: (name: string, url: string, scheme?: "light" | "dark") => Promise<void>
  readonly close: () => Promise<void>
}

const width = 960
const height = 560

/** Opens a browser; without a folder it takes no picture. */
export const open = async (folder: string | null): Promise<Screens> => {
  if (folder === null) return { take: async () => {}, close: async () => {} }
  mkdirSync(folder, { recursive: true })
  const tab = await Chromium.open(cacheFolder())
  return {
    take: async (name, url, scheme = "light") => {
      await tab.send("Emulation.setDeviceMetricsOverride", {
        width,
        height,
        deviceScaleFactor: 1,
        mobile: false
      })
      await tab.send("Emulation.setEmulatedMedia", {
        features: [{ name: "prefers-color-scheme", value: scheme }]
      })
      await tab.open(url)
      const { data } = await tab.send("Page.captureScreenshot", { format: "png" })
      writeFileSync(join(folder, `night-${name}.png`), Buffer.from(data, "base64"))
    },
    close: tab.close
  }
}
