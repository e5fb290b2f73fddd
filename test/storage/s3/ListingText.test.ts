import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { readListing } from "../../../src/storage/s3/ListingText.ts"
import { listXml, reply } from "../../fixtures/s3/StubServer.ts"
import { storeThat } from "../../fixtures/s3/StubStore.ts"

const awsEntry =
  "<Contents><Key>p/a</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>7</Size><Owner><ID>x</ID><DisplayName>y</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>"
const document = (inside: string) =>
  wrapped(inside.includes("<IsTruncated>") ? inside : `${notTruncated}${inside}`)
const notTruncated = "<IsTruncated>false</IsTruncated>"
const wrapped = (inside: string) =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inside}</ListBucketResult>`
const entry = (inside: string) => document(`<Contents>${inside}</Contents>`)

/** Documents that stores write, each with another peculiarity. */
const familiar: Readonly<Record<string, string>> = {
  "an empty listing": document("<IsTruncated>false</IsTruncated>"),
  "an AWS entry with an owner": document(`<EncodingType>url</EncodingType>${awsEntry}`),
  "white space between elements": document(
    `\n  <IsTruncated>false</IsTruncated>\n  ${awsEntry.replaceAll("><", ">\n    <")}\n`
  ),
  "empty elements in both forms": document(`<Prefix/><Delimiter></Delimiter>${awsEntry}`),
  "entities in a key that is not encoded": entry(
    "<Key>a&amp;b&lt;c&gt;&quot;&apos;</Key><Size>1</Size><LastModified>2026-01-02T03:04:05Z</LastModified>"
  ),
  "an entity in a token": document(
    `<IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b=</NextContinuationToken>${awsEntry}`
  ),
  "folders, which are skipped": document(`<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>${awsEntry}`),
  "letters beyond ASCII": entry(
    "<Key>é\u{1f600}</Key><Size>1</Size><LastModified>2026-01-02T03:04:05Z</LastModified>"
  )
}

/** Documents that the SDK reads, or that are malformed. */
const unfamiliar: Readonly<Record<string, string>> = {
  "a comment": document(`<!-- <Contents><Key>x</Key></Contents> -->${awsEntry}`),
  CDATA: entry(
    "<Key><![CDATA[a</Key>]]></Key><Size>1</Size><LastModified>2026-01-02T03:04:05Z</LastModified>"
  ),
  "a document type": `<!DOCTYPE x>${document(awsEntry)}`,
  "a prefix for names": document(awsEntry).replaceAll("Contents", "s3:Contents"),
  "an attribute": document(awsEntry.replace("<Key>", '<Key a="b">')),
  "a reference to a character by number": entry("<Key>a&#13;b</Key>"),
  "a bare carriage return": entry("<Key>a\rb</Key>"),
  "an undeclared entity": entry("<Key>a&nbsp;b</Key>"),
  "an ampersand alone": entry("<Key>a&b</Key>"),
  "two keys in one entry": entry("<Key>a</Key><Key>b</Key>"),
  "two sizes in one entry": entry("<Key>a</Key><Size>1</Size><Size>2</Size>"),
  "a size that is no number": entry("<Key>a</Key><Size>1e3</Size>"),
  "a time in another form": entry("<Key>a</Key><LastModified>Fri, 02 Jan 2026 03:04:05 GMT</LastModified>"),
  "an element within a key": entry("<Key>a<b>c</b></Key>"),
  "a truth that is neither": document("<IsTruncated>perhaps</IsTruncated>"),
  "another root": "<Error><Code>SlowDown</Code></Error>",
  "text between elements": document(`${awsEntry}x${awsEntry}`),
  "content after the end": `${document(awsEntry)}<more/>`
}

describe("the quick reader of listings", () => {
  for (const [what, text] of Object.entries(familiar)) {
    it.live(`reads ${what} as the SDK does`, () =>
      Effect.gen(function* () {
        assert.isDefined(readListing(text))
        // With a comment, the SDK reads the document.
        const commented = text.replace("</ListBucketResult>", "<!-- x --></ListBucketResult>")
        assert.isUndefined(readListing(commented))
        const last = reply(200, listXml([]))
        const quick = yield* storeThat([reply(200, text), last])
        const slow = yield* storeThat([reply(200, commented), last])
        const pagesOf = ({ storage }: typeof quick) => Stream.runCollect(storage.list(""))
        assert.deepStrictEqual(yield* pagesOf(quick), yield* pagesOf(slow))
        assert.deepStrictEqual(
          quick.asked.map(({ url }) => url),
          slow.asked.map(({ url }) => url),
          "both continued at the same place"
        )
      })
    )
  }

  for (const [what, text] of Object.entries(unfamiliar)) {
    it(`leaves ${what} to the SDK`, () => assert.isUndefined(readListing(text)))
  }

  it("reads no part of a document that ends early, wherever it ends", () => {
    const text = document(`<IsTruncated>false</IsTruncated>${awsEntry}${awsEntry}`)
    assert.isDefined(readListing(text))
    for (let length = 0; length < text.length; length++)
      assert.isUndefined(readListing(text.slice(0, length)))
  })
})
