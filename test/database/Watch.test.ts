import * as Databases from "../support/Databases.ts"
import { watchContract } from "./watch.ts"

watchContract(Databases.embedded)
