/** The site as a browser shows it. What goes wrong in a page is collected inside it, from before its first script. */
import type { Answer, Tab } from "../../../tools/servers/Chromium.ts"

declare const addEventListener: Answer
declare const console: Answer
declare const document: Answer
declare const innerWidth: number
declare const window: Answer

/** Collects errors of scripts and the console, and requests that the policy refuses. Runs in the page. */
const collect = (): void => {
  const wrong: Array<string> = []
  window.wrong = wrong
  for (const level of ["error", "warn"]) {
    const own = console[level]
    console[level] = (...args: ReadonlyArray<unknown>) => {
      wrong.push(`console.${level}: ${args.join(" ")}`)
      own.apply(console, args)
    }
  }
  addEventListener("unhandledrejection", (event: Answer) => wrong.push(`rejected: ${event.reason}`))
  addEventListener(
    "error",
    (event: Answer) => wrong.push(event.message ?? `not loaded: ${event.target}`),
    true
  )
  addEventListener("securitypolicyviolation", (event: Answer) => wrong.push(`refused: ${event.blockedURI}`))
}

/** Looks at the page after its scripts have run. Runs in the page. */
const look = () => ({
  wrong: window.wrong as ReadonlyArray<string>,
  title: (document.querySelector("main h1")?.textContent ?? "") as string,
  overflow: Math.max(0, document.documentElement.scrollWidth - innerWidth),
  isDark: document.documentElement.classList.contains("dark") as boolean,
  isHydrated: document.querySelector("#app")?.__vue_app__ !== undefined
})

/** Runs a function in the page and returns its result, or that of its promise. */
export const inPage = async <A>(tab: Tab, run: () => A | Promise<A>): Promise<A> => {
  const { exceptionDetails, result } = await tab.send("Runtime.evaluate", {
    expression: `(${run})()`,
    awaitPromise: true,
    returnByValue: true
  })
  if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
  return result.value
}

/** Repeats `look` until it finds something. Fails after ten seconds. */
export const until = async <A>(what: string, find: () => Promise<A | null>): Promise<A> => {
  for (let attempt = 0; attempt < 200; attempt++) {
    const found = await find()
    if (found !== null) return found
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`${what}: not within ten seconds`)
}

/** Prepares the tab for every page that it will show. */
export const prepare = (tab: Tab): Promise<Answer> =>
  tab.send("Page.addScriptToEvaluateOnNewDocument", { source: `(${collect})()` })

/** Sets width and colour scheme. */
export const screen = async (tab: Tab, width: number, scheme: "light" | "dark"): Promise<void> => {
  await tab.send("Emulation.setDeviceMetricsOverride", {
    width,
    height: 844,
    deviceScaleFactor: 1,
    mobile: width < 500
  })
  await tab.send("Emulation.setEmulatedMedia", {
    features: [{ name: "prefers-color-scheme", value: scheme }]
  })
}

/** What a page shows. */
export type Shown = ReturnType<typeof look>

/** Opens a page and looks at it when its scripts have taken it over. */
export const show = async (tab: Tab, url: string): Promise<Shown> => {
  await tab.open(url)
  return until(url, async () => {
    const shown = await inPage(tab, look)
    return shown.isHydrated ? shown : null
  })
}
