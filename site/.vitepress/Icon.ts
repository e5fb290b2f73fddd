/** The mark of the site: a stack of blobs whose lowest is swept. Inlined, so that no page asks for a file. */
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#1f6f54"/>
<g fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round"><path d="M9 10h14M9 16h14"/>
<path d="M9 22h8" stroke-dasharray=".1 4.6" stroke="#a9dcc5"/></g></svg>`

export const icon = `data:image/svg+xml,${encodeURIComponent(svg.replaceAll("\n", ""))}`
