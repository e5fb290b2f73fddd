import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { Digest } from "../../../src/domain/Digest.ts"
import {
  descriptorsMax,
  type ManifestContents,
  parseManifest
} from "../../../src/oci/repositories/ManifestFormat.ts"

const ociImage = "application/vnd.oci.image.manifest.v1+json"
const ociIndex = "application/vnd.oci.image.index.v1+json"
const dockerImage = "application/vnd.docker.distribution.manifest.v2+json"
const dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
const configType = "application/vnd.oci.image.config.v1+json"
const layerType = "application/vnd.oci.image.layer.v1.tar+gzip"

const sha256 = (letter: string): Digest => Digest.make(`sha256:${letter.repeat(64)}`)
const sha512 = (letter: string): Digest => Digest.make(`sha512:${letter.repeat(128)}`)
const descriptor = (digest: Digest, mediaType = layerType, rest: object = {}) => ({
  mediaType,
  digest,
  size: 3,
  ...rest
})
const config = descriptor(sha256("c"), configType)
const layer = descriptor(sha256("1"))
const child = descriptor(sha256("1"), ociImage)
const image = (rest: object = {}) => ({ schemaVersion: 2, config, layers: [layer], ...rest })
const index = (rest: object = {}) => ({ schemaVersion: 2, manifests: [child], ...rest })

const none: ReadonlySet<Digest> = new Set()

const encode = (document: unknown): Uint8Array =>
  new TextEncoder().encode(typeof document === "string" ? document : JSON.stringify(document))

const parse = (document: unknown, mediaType: string | null = ociImage) =>
  parseManifest(document instanceof Uint8Array ? document : encode(document), mediaType)

const contents = (document: unknown, mediaType: string | null = ociImage): ManifestContents =>
  Result.getOrThrowWith(parse(document, mediaType), (error) => error)

const problem = (document: unknown, mediaType: string | null = ociImage): string =>
  Result.match(parse(document, mediaType), {
    onSuccess: () => "it was read",
    onFailure: (error) => error.problem
  })

describe("a parsed manifest", () => {
  for (const mediaType of [ociImage, dockerImage]) {
    it(`has its config and its layers, each once: ${mediaType}`, () => {
      const layers = [layer, descriptor(sha512("2")), layer]
      assert.deepStrictEqual(contents(image({ mediaType, layers }), mediaType), {
        mediaType,
        artifactType: configType,
        annotations: null,
        subject: null,
        references: [
          { digest: sha256("c"), kind: "config" },
          { digest: sha256("1"), kind: "layer" },
          { digest: sha512("2"), kind: "layer" }
        ],
        dispensable: none
      })
    })
  }

  for (const mediaType of [ociIndex, dockerList]) {
    it(`has its children: ${mediaType}`, () => {
      const manifests = [ociImage, ociIndex, dockerImage, dockerList].map((type, n) =>
        descriptor(sha256(String(n)), type, { platform: { architecture: "amd64", os: "linux" } })
      )
      assert.deepStrictEqual(contents(index({ manifests }), mediaType), {
        mediaType,
        artifactType: null,
        annotations: null,
        subject: null,
        references: ["0", "1", "2", "3"].map((n) => ({ digest: sha256(n), kind: "manifest" as const })),
        dispensable: none
      })
    })
  }

  it("may be an index that lists blobs, as BuildKit's cache does", () => {
    const manifests = [layer, descriptor(sha256("2"), "application/vnd.buildkit.cacheconfig.v0")]
    assert.deepStrictEqual(contents(index({ manifests }), ociIndex).references, [
      { digest: sha256("1"), kind: "layer" },
      { digest: sha256("2"), kind: "layer" }
    ])
  })

  it("has its subject, its artifact type, and its annotations", () => {
    const annotations = { "org.example": "one", "": "", ORG: "two", org: "three" }
    const found = contents(
      image({ artifactType: "application/example", subject: child, annotations, config })
    )
    assert.strictEqual(found.subject, sha256("1"))
    assert.strictEqual(found.artifactType, "application/example")
    assert.deepStrictEqual(found.annotations, annotations)
    assert.strictEqual(contents(index({ artifactType: "a/b" }), ociIndex).artifactType, "a/b")
    assert.strictEqual(contents(image({ artifactType: "" })).artifactType, configType)
    assert.strictEqual(contents(index({ artifactType: "" }), ociIndex).artifactType, null)
  })

  it("keeps an annotation of any name", () => {
    const text = `{"schemaVersion":2,"manifests":[],"annotations":{"__proto__":"a","constructor":"b"}}`
    const { annotations } = contents(text, ociIndex)
    assert.deepStrictEqual(Object.entries(annotations ?? {}), [
      ["__proto__", "a"],
      ["constructor", "b"]
    ])
  })

  it("can be stored without layers that clients find elsewhere, unless it also needs them otherwise", () => {
    const urls = ["https://example.com/layer"]
    const elsewhere = descriptor(sha256("e"), layerType, { urls })
    const found = contents(image({ layers: [layer, elsewhere] }))
    assert.deepStrictEqual(found.dispensable, new Set([sha256("e")]))
    assert.deepInclude(found.references, { digest: sha256("e"), kind: "layer" })
    for (const needed of [
      image({ layers: [elsewhere, descriptor(sha256("e"))] }),
      image({ layers: [elsewhere], config: descriptor(sha256("e"), configType) }),
      image({ layers: [elsewhere], config: { ...elsewhere, mediaType: configType } }),
      image({ layers: [descriptor(sha256("e"), layerType, { urls: [] })] }),
      image({ layers: [descriptor(sha256("e"), layerType, { urls: null })] })
    ]) {
      assert.strictEqual(contents(needed).dispensable.size, 0, JSON.stringify(needed))
    }
    assert.strictEqual(contents(index({ manifests: [{ ...child, urls }] }), ociIndex).dispensable.size, 0)
  })

  it("may have no parts, in all ways in which programs write that", () => {
    assert.lengthOf(contents(image({ layers: [] })).references, 1)
    assert.lengthOf(contents(image({ layers: null })).references, 1)
    assert.lengthOf(contents(index({ manifests: [] }), ociIndex).references, 0)
    assert.lengthOf(contents(index({ manifests: null }), ociIndex).references, 0)
    const nulls = { mediaType: null, artifactType: null, subject: null, annotations: null, manifests: null }
    assert.deepInclude(contents(image(nulls)), { subject: null, annotations: null, artifactType: configType })
  })

  it("may have unknown fields", () => {
    const strange = { "org.example": [1, { digest: 7 }], layers: [{ ...layer, data: "AAA=", other: null }] }
    assert.lengthOf(contents(image(strange)).references, 2)
  })

  it("has the media type of the request, its own, or both", () => {
    for (const [declared, own] of [
      [ociImage, undefined],
      [ociImage, ociImage],
      ["", ociImage],
      [null, ociImage],
      [`${ociImage}; charset=utf-8`, ociImage],
      [` ${ociImage.toUpperCase()} ;`, undefined]
    ] as const) {
      assert.strictEqual(contents(image({ mediaType: own }), declared).mediaType, ociImage)
    }
  })

  it("may have at most the maximum of descriptors", () => {
    const layers = (count: number) =>
      Array.from({ length: count }, (_, n) =>
        descriptor(Digest.make(`sha256:${n.toString(16).padStart(64, "0")}`))
      )
    assert.lengthOf(contents(image({ layers: layers(descriptorsMax - 1) })).references, descriptorsMax)
    assert.include(problem(image({ layers: layers(descriptorsMax) })), "more than 10000 descriptors")
  })
})

describe("a manifest is refused", () => {
  const refused: ReadonlyArray<
    readonly [what: string, document: unknown, expected: string, mediaType?: string | null]
  > = [
    ["that is empty", "", "not JSON"],
    ["that is not JSON", "{", "not JSON"],
    ["that is two documents", "{}{}", "not JSON"],
    ["that begins with a byte order mark", `\ufeff${JSON.stringify(image())}`, "not JSON"],
    ["that is not UTF-8", new Uint8Array([0x22, 0xff, 0x22]), "not UTF-8"],
    ["that is a number", 7, "not an object"],
    ["that is null", "null", "not an object"],
    ["that is a list", [image()], "not an object"],
    ["with a key twice", `{"schemaVersion":2,"layers":[],"layers":[]}`, `"layers" occurs twice`],
    ["with a key twice, once in other letters", `{"layers":[],"l\\u0061yers":[]}`, `"layers" occurs twice`],
    ["with a key twice far below", `{"a":[{"b":{"c":{"d":1} , "c" : 2}}]}`, `"c" occurs twice`],
    ["with an annotation twice", `{"annotations":{"a":"\\"","a":"{"}}`, `"a" occurs twice`],
    ["that is nested without end", `${"[".repeat(600)}${"]".repeat(600)}`, "nested more than 500 deep"],
    ["without any type", image(), "no Content-Type", null],
    ["whose type is empty", image(), "no Content-Type", " ; charset=utf-8"],
    ["whose own type is no text", image({ mediaType: 7 }), "mediaType: must be a string"],
    ["sent as another type", image({ mediaType: dockerImage }), `sent as ${ociImage}, but its mediaType is`],
    ["sent as JSON", image({ mediaType: ociImage }), "sent as application/json", "application/json"],
    ["of an unknown type", image(), "would delete its blobs", "application/vnd.example+json"],
    [
      "of an artifact manifest",
      image(),
      "would delete its blobs",
      "application/vnd.oci.artifact.manifest.v1+json"
    ],
    ...["json", "prettyjws"].map(
      (form) =>
        [
          `of Docker's schema 1 (${form})`,
          { schemaVersion: 1, fsLayers: [] },
          "schema 1 is not supported",
          `application/vnd.docker.distribution.manifest.v1+${form}`
        ] as const
    ),
    ["of schema version 1", image({ schemaVersion: 1 }), "schemaVersion"],
    ["of no schema version", image({ schemaVersion: undefined }), "schemaVersion"],
    ["of a schema version in quotes", image({ schemaVersion: "2" }), "schemaVersion"],
    ["that is image and index", image({ manifests: [child] }), "image and has manifests"],
    ["that is image and schema 1", image({ fsLayers: [] }), "image and has fsLayers"],
    ["that is index and has layers", index({ layers: [] }), "index and has layers", ociIndex],
    ["that is index and has a config", index({ config }), "index and has config", ociIndex],
    ["with a key in another case", image({ Layers: [] }), `"Layers" differs from a known key only in case`],
    ["with a key in Kelvin", image({ "\u017fubject": child }), "differs from a known key only in case"],
    [
      "with a descriptor's key in another case",
      image({ layers: [{ ...layer, Digest: sha256("2") }] }),
      `"Digest" differs from a known key only in case`
    ],
    ["without config", image({ config: undefined }), "config: "],
    ["whose config is null", image({ config: null }), "config: "],
    ["whose config is text", image({ config: sha256("c") }), "config: "],
    ["without layers", image({ layers: undefined }), "layers: "],
    ["whose layers are an object", image({ layers: { 0: layer } }), "layers: "],
    ["without children", index({ manifests: undefined }), "manifests: ", ociIndex],
    ["of which a layer is null", image({ layers: [layer, null] }), "layers.1: "],
    ["of which a layer is a list", image({ layers: [[layer]] }), "layers.0"],
    [
      "of which a layer has no type",
      image({ layers: [{ digest: layer.digest, size: 1 }] }),
      "layers.0.mediaType"
    ],
    [
      "of which a layer's type is empty",
      image({ layers: [{ ...layer, mediaType: "" }] }),
      "layers.0.mediaType"
    ],
    ["of which a layer has no digest", image({ layers: [{ mediaType: "a/b", size: 1 }] }), "layers.0.digest"],
    ...[
      "",
      "sha256",
      "sha256:",
      `sha256:${"A".repeat(64)}`,
      `sha256:${"a".repeat(63)}`,
      `sha256:${"a".repeat(65)}`,
      `sha512:${"a".repeat(64)}`,
      `SHA256:${"a".repeat(64)}`,
      `sha384:${"a".repeat(96)}`,
      `sha256+b64u:${"a".repeat(43)}`,
      `sha256:${"a".repeat(64)}\n`,
      `sha256:${"a".repeat(1000)}`,
      7,
      null
    ].map(
      (digest) =>
        [
          `with the digest ${JSON.stringify(digest)?.slice(0, 30)}`,
          image({ layers: [layer, { ...layer, digest }] }),
          "layers.1.digest: "
        ] as const
    ),
    ...[-1, 1.5, "3", null, undefined, 2 ** 53, true].map(
      (size) =>
        [
          `with the size ${JSON.stringify(size)}`,
          image({ layers: [{ ...layer, size }] }),
          "layers.0.size: "
        ] as const
    ),
    [
      "with an endless size",
      `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"${sha256("c")}","size":1e999},"layers":[]}`,
      "config.size: "
    ],
    ["of which a child is no descriptor", index({ manifests: [{}] }), "manifests.0.", ociIndex],
    ["whose urls are text", image({ layers: [{ ...layer, urls: "https://example.com" }] }), "layers.0.urls"],
    ["whose urls are numbers", image({ layers: [{ ...layer, urls: [1] }] }), "layers.0.urls.0"],
    ["whose subject is text", image({ subject: sha256("1") }), "subject: "],
    ["whose subject's digest is nonsense", image({ subject: { ...child, digest: "x" } }), "subject.digest: "],
    ["whose artifact type is a number", image({ artifactType: 1 }), "artifactType: "],
    [
      "whose artifact type cannot be stored",
      image({ artifactType: "a\0b" }),
      "artifactType: must contain neither"
    ],
    [
      "whose config's type cannot be stored",
      image({ config: { ...config, mediaType: "\ud800" } }),
      "config.mediaType"
    ],
    ["whose annotations are a list", image({ annotations: [] }), "annotations: must be an object"],
    ["whose annotations are text", image({ annotations: "a" }), "annotations: must be an object"],
    [
      "with an annotation that is a number",
      image({ annotations: { a: 1 } }),
      "annotations.a: must be a string"
    ],
    [
      "with an annotation that is null",
      image({ annotations: { a: null } }),
      "annotations.a: must be a string"
    ],
    [
      "with an annotation that cannot be stored",
      image({ annotations: { a: "\ud800" } }),
      "annotations.a: must contain"
    ],
    [
      "with an annotation whose name cannot be stored",
      image({ annotations: { "\0": "" } }),
      "must contain neither"
    ]
  ]
  for (const [what, document, expected, mediaType = ociImage] of refused) {
    it(what, () => {
      assert.include(problem(document, mediaType), expected)
    })
  }

  it("with a message that says what is wrong, that nothing was stored, and what to do", () => {
    const error = Result.getOrThrow(Result.flip(parse(image({ config: undefined }))))
    assert.strictEqual(
      error.message,
      "The manifest cannot be stored: config: Missing key. Nothing was stored; correct it and push again."
    )
  })
})

// -- properties

/** Returns `document` with the value at `path` replaced. A path ends early where the document does. */
const replaced = (document: unknown, path: ReadonlyArray<number>, value: unknown): unknown => {
  const [step, ...rest] = path
  if (step === undefined || typeof document !== "object" || document === null) return value
  const keys = Object.keys(document)
  const key = keys[step % keys.length]
  if (key === undefined) return value
  const copy: Record<string, unknown> | Array<unknown> = Array.isArray(document)
    ? [...document]
    : { ...document }
  const fields = copy as Record<string, unknown>
  fields[key] = replaced(fields[key], rest, value)
  return copy
}

/** Returns every digest that clients download. */
const digestsOf = (document: unknown): ReadonlyArray<unknown> => {
  const { config, layers, manifests } = document as Record<string, unknown>
  return [config, layers, manifests]
    .flat()
    .filter((one) => one !== undefined && one !== null)
    .map((one) => (one as { readonly digest: unknown }).digest)
}

/**
 * Asserts that the document is refused, or that all its references were parsed, with digests that can be
 * checked.
 */
const isSafe = (document: unknown, mediaType: string): void => {
  const parsed = parseManifest(encode(document), mediaType)
  if (Result.isFailure(parsed)) {
    assert.strictEqual(parsed.failure._tag, "ManifestInvalid")
    return
  }
  const known = new Set<unknown>(parsed.success.references.map(({ digest }) => digest))
  for (const digest of digestsOf(document)) {
    assert.isTrue(known.has(digest), String(digest))
    assert.match(String(digest), /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/)
  }
}

const samples = [
  image({ subject: child, annotations: { a: "b" }, artifactType: "a/b" }),
  index({ subject: child, annotations: { a: "b" } })
]
const values = [sha256("f"), -1, 2, null, "", [], {}, [layer], layer, ociIndex, { mediaType: ociIndex }]

describe("any input", () => {
  it.prop(
    "that is JSON is refused or parsed in full",
    { document: Schema.Json, type: Schema.Literals([ociImage, ociIndex]) },
    ({ document, type }) => isSafe(document, type),
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "that replaces a part of a valid manifest is refused or parsed in full",
    {
      sample: Schema.Literals([0, 1]),
      path: Schema.Array(Schema.Literals([0, 1, 2, 3, 4, 5])),
      value: Schema.Union([Schema.Json, Schema.Literals([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])]),
      chosen: Schema.Boolean,
      type: Schema.Literals([ociImage, ociIndex])
    },
    ({ sample, path, value, chosen, type }) => {
      const put = chosen && typeof value === "number" ? values[value % values.length] : value
      isSafe(replaced(samples[sample], path, put), type)
    },
    { arbitrary: { runs: 3000 } }
  )

  it.prop("of bytes is refused without a defect", { bytes: Schema.Uint8Array }, ({ bytes }) => {
    assert.isTrue(Result.isFailure(parseManifest(bytes, ociImage)))
  })

  it.prop(
    "that is cut off is refused",
    { at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 })) },
    ({ at }) => {
      const whole = encode(image())
      assert.isTrue(Result.isFailure(parseManifest(whole.slice(0, at % whole.length), ociImage)))
    }
  )
})
