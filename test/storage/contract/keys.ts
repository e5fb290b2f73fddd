/** Keys that find out what a store does with names. */

const plain = "abcdefghij".repeat(110)

/** Keys that some store, encoding or file system gets wrong. Those that collide in a sloppy encoding are neighbours. */
export const oddKeys: ReadonlyArray<string> = [
  ...[
    "a",
    "a/",
    "a//",
    "a//b",
    "a/b",
    "a/b/c",
    "a!",
    "a0",
    "a-",
    "a.",
    "A",
    "aa",
    "0",
    "1e5",
    "true",
    "null"
  ],
  ...["/", "//", "/a", "//a", "/a/", "b//", "b//c"],
  ...[
    "a b",
    " a",
    "a ",
    " ",
    "a+b",
    "+",
    "a+",
    "a+/b",
    "a&b",
    "a&amp;b",
    "&lt;",
    "a<b>c",
    `a"b'c`,
    "a=b;c",
    "a,b"
  ],
  ...[
    "%",
    "a%",
    "a%b",
    "a%2Fb",
    "a%2fb",
    "%41",
    "%25",
    "%2E",
    "a?b",
    "a#b",
    "a:b",
    "a\\b",
    "a*b",
    "a|b",
    "~",
    "a~"
  ],
  ...[".", "..", "...", "../x", "./x", "c/../d", "c/./d", "c/..", ".hidden", ".incoming/x", "c/.incoming"],
  ...["é", "e\u0301", "ü/ö", "日本語", "\ue000", "\ufffd", "𝄞", "😀/x", "\u{10fffd}", "\u00a0", "\u2028"],
  ...["ctl\u0001x", "ctl\u001fx", "ctl\u007fx", "tab\tx", "line\nx", "return\rx", "line\r\nx", "\u0085"],
  ...[83, 84, 85, 168, 169, 255, 256, 600].flatMap((length) => [
    plain.slice(0, length),
    `${plain.slice(0, length)}/`,
    `${plain.slice(0, length)}/b`
  ]),
  ...[
    `${plain.slice(0, 84)}~/b`,
    `${plain.slice(0, 83)}!`,
    `${plain.slice(0, 84)}!`,
    "é".repeat(42),
    "é".repeat(41)
  ],
  // The longest there are, with the prefix of the run.
  ...[plain.slice(0, 960), "é".repeat(480), "日/".repeat(40), "/".repeat(40), "%".repeat(960)]
]

export const inOrder = (keys: ReadonlyArray<string>) =>
  [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

export const sortedAfter = (keys: ReadonlyArray<string>, after: string) =>
  keys.filter((key) => Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0)
