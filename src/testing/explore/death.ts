/** Whether a life is over. Whoever asks something of a dead life never hears of it again. */
export interface Death {
  readonly isDead: boolean
  /** Settles as `promise` does, but never if the life is over by then. */
  mortal<T>(promise: Promise<T>): Promise<T>
  /** Ends the life at once. */
  die(): void
  /** Called once, when the life ends by death. */
  onDeath: (() => void) | undefined
}

export function createDeath(): Death {
  let isDead = false
  const death: Death = {
    onDeath: undefined,
    get isDead() {
      return isDead
    },
    mortal: (promise) =>
      new Promise((resolve, reject) => {
        promise.then(
          (value) => isDead || resolve(value),
          (error) => isDead || reject(error),
        )
      }),
    die() {
      if (isDead) return
      isDead = true
      death.onDeath?.()
    },
  }
  return death
}
