/**
 * Text that a terminal shows as it is. Every writer of the store or the catalogue chooses keys and names, and a terminal
 * obeys the control characters in them.
 */

/** Control and format characters (the latter reverse the direction of text), line separators, halves of pairs. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

const escaped = (character: string): string => {
  const code = character.codePointAt(0) ?? 0
  if (character === "\n") return "\\n"
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`
}

/** Returns a value on one line, with each unprintable character escaped, as in `\x1b`. */
export const printable = (value: string): string => value.replaceAll(unprintable, escaped)

/** Returns a text of several lines with each unprintable character escaped but the line feeds. */
export const printableLines = (text: string): string =>
  text.replaceAll(unprintable, (character) => (character === "\n" ? character : escaped(character)))
