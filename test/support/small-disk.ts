import { execFileSync } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A tmpfs of a few megabytes: a disk that can be full. */
export interface SmallDisk extends AsyncDisposable {
  readonly path: string
  /** Fills a file called `ballast` up to the size, or, without one, until the disk is full. */
  readonly addBallast: (maxBytes?: number) => Promise<void>
  readonly removeBallast: () => Promise<void>
  readonly grow: (size: string) => void
  readonly makeReadOnly: () => void
}

/** Why a {@link SmallDisk} cannot be made here, or `false`: the `skip` of a test. */
export const noSmallDisk: string | false =
  process.platform !== 'linux' ? 'needs Linux' : process.getuid?.() !== 0 ? 'needs root, to mount a tmpfs' : canMount()

/** Mounts one at a path that does not exist yet; disposing unmounts it. */
export async function mountSmallDisk(path: string, size: string): Promise<SmallDisk> {
  await mkdir(path)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path])
  const ballast = join(path, 'ballast')
  return {
    path,
    addBallast: async (maxBytes = Number.POSITIVE_INFINITY) => {
      const page = new Uint8Array(4096)
      try {
        for (let written = 0; written < maxBytes; written += page.length) await writeFile(ballast, page, { flag: 'a' })
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
      }
    },
    removeBallast: () => rm(ballast),
    grow: (bigger) => void execFileSync('mount', ['-o', `remount,size=${bigger}`, path]),
    makeReadOnly: () => void execFileSync('mount', ['-o', 'remount,ro', path]),
    [Symbol.asyncDispose]: async () => {
      execFileSync('umount', ['-l', path]) // lazily: a test that failed may have left a store open
      await rm(path, { recursive: true })
    },
  }
}

function canMount(): string | false {
  try {
    // In a namespace of its own, which ends with the command: nothing stays mounted.
    execFileSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'ignore' })
    return false
  } catch {
    return 'this root may not mount'
  }
}
