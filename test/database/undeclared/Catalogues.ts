export const catalogues = (): void => {}
