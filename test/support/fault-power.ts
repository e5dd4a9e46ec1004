import { execFileSync } from 'node:child_process'
import { mkdir, open, rm } from 'node:fs/promises'
import { missing, runs } from './fault-tools.ts'

/** An ext4 file system in a file: one whose power can be cut. What was not synced by then is gone. */
export interface PowerDisk extends AsyncDisposable {
  readonly path: string
  cutPower(): void
  /** Mounts it again, as a machine does that has its power back. */
  restore(): void
}

/** Why a {@link PowerDisk} cannot be made here, or `false`. */
export function noPowerDisk(): string | false {
  if (process.getuid?.() !== 0) return 'needs root, to mount a disk'
  return missing('mkfs.ext4', 'losetup', 'xfs_io', 'mount') || (runs('losetup', '--find') ? false : 'has no loop device to give')
}

/** Makes one at a path that does not exist yet. */
export async function mountPowerDisk(path: string): Promise<PowerDisk> {
  const image = `${path}.image`
  const file = await open(image, 'w')
  await file.truncate(32 * 1024 * 1024)
  await file.close()
  execFileSync('mkfs.ext4', ['-q', '-F', image])
  await mkdir(path)
  const mount = (): void => void execFileSync('mount', ['-o', 'loop,commit=60', image, path])
  mount()
  return {
    path,
    // -f: the journal is written out as far as it was committed by a sync, and nothing after it.
    cutPower: () => void execFileSync('xfs_io', ['-x', '-c', 'shutdown', path]),
    restore: () => {
      execFileSync('umount', [path])
      mount()
    },
    [Symbol.asyncDispose]: async () => {
      execFileSync('umount', ['-l', path])
      await rm(path, { recursive: true })
      await rm(image)
    },
  }
}
