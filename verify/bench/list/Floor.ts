/**
 * The floor: fetches the same pages one after the other, and reads only the number of keys and the token of
 * the next.
 */
import { Agent, get } from "node:http"
import { runVariant } from "../harness/Variant.ts"
import type { Outcome, Task } from "./Task.ts"

await runVariant<Task, Outcome>(async ({ s3 }) => {
  const agent = new Agent({ keepAlive: true })
  const fetchPage = (token: string | undefined): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const query = token === undefined ? "" : `&continuation-token=${token}`
      const url = `${s3.endpoint}/${s3.bucket}?list-type=2&encoding-type=url&prefix=blobs%2F${query}`
      get(url, { agent }, (response) =>
        response.toArray().then((chunks) => resolve(Buffer.concat(chunks)), reject)
      ).once("error", reject)
    })
  return {
    run: async () => {
      let keys = 0
      let page: Buffer
      let token: string | undefined
      do {
        page = await fetchPage(token)
        const head = page.toString("latin1", 0, 1000)
        keys += Number(/<KeyCount>(\d+)</.exec(head)?.[1])
        token = /<NextContinuationToken>(\w+)</.exec(head)?.[1]
      } while (token !== undefined)
      const last = page.lastIndexOf("<Key>") + "<Key>".length
      return { keys, bytes: 0, lastKey: page.toString("latin1", last, page.indexOf("<", last)) }
    },
    close: async () => agent.destroy()
  }
})
