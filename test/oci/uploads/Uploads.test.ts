import { memory } from "../../fixtures/FaultTable.ts"
import { uploadsContract } from "./Uploads.contract.ts"

uploadsContract("memory", memory)
