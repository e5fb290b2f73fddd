/** The repository of references. */
export const referenceRepository = "foreground"
/** The repository of warm-up work. */
export const warmUpRepository = "warm-up"
/** The repository of pushed blobs. */
export const pushRepository = "bench/foreground"
