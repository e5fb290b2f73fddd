/** Where the load puts what it makes. */
export const referenceRepository = "foreground"
export const warmUpRepository = "warm-up"
export const pushRepository = "bench/foreground"
