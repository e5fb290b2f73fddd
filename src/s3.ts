/** `artifact-gc/s3`: the store on S3 and its kin. Needs the package `@aws-sdk/client-s3`. */

export * as S3Storage from "./exports/S3Storage.ts"
