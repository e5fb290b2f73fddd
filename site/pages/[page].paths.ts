/** Pages that are made from other files: the list of the decisions, and a page for each file or folder that a page links to. */
import { readdirSync } from "node:fs"
import { extname, join, relative } from "node:path"
import { linkedFiles } from "../.vitepress/Links.ts"
import { addressOf, isFolder, root, sources, textOf, titleOf } from "../.vitepress/Sources.ts"

const languages: Readonly<Record<string, string>> = {
  ".json": "json",
  ".ts": "ts",
  ".sql": "sql",
  ".service": "ini",
  ".timer": "ini",
  ".pml": "c"
}

const isImage = (file: string): boolean => /\.(svg|png)$/.test(file)

const shown = (file: string, page: string): string =>
  isImage(file)
    ? `![${file}](${relative(join("site/pages", page, ".."), file)})`
    : `\`\`\`\`\`${languages[extname(file)] ?? "txt"}\n${textOf(file)}\n\`\`\`\`\``

const filesIn = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".md"))
    .map(({ name }) => `${folder}/${name}`)
    .sort()

const filePage = (target: string) => {
  const page = `files/${target}`
  const parts = isFolder(target)
    ? filesIn(target).map((file) => `## ${file.slice(target.length + 1)}\n\n${shown(file, page)}`)
    : [shown(target, page)]
  return { params: { page }, content: [`# ${target}`, ...parts].join("\n\n") }
}

const decisions = () => {
  const rows = sources
    .filter((file) => file.startsWith("docs/decisions/"))
    .map((file) => `- [${titleOf(file)}](${addressOf(file)})`)
  const about = "Why something is as it is, and which alternatives were rejected."
  return {
    params: { page: "decisions/index" },
    content: ["# Decisions", about, rows.join("\n")].join("\n\n")
  }
}

export default { paths: () => [decisions(), ...linkedFiles().map(filePage)] }
