/** The module `S3Storage` of `artifact-gc/s3`. */

export { layer, type S3Credentials, type S3Options } from "../storage/S3.ts"
