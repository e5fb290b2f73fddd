import { uploadsContract } from "./contract.ts"
import { memory } from "./stage.ts"

uploadsContract("memory", memory)
