import * as Databases from "../fixtures/Databases.ts"
import { databaseContract } from "./contract.ts"

databaseContract("memory", Databases.memory)
