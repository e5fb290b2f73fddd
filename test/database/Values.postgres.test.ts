/** Values of rows that other programs write, and catalogues of unusual extent. */
import { digestTypes } from "./values/DigestTypes.ts"
import { manyTables } from "./values/ManyTables.ts"
import { oddRows } from "./values/OddRows.ts"
import { timeZones } from "./values/TimeZones.ts"

timeZones()
oddRows()
manyTables()
digestTypes()
