import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

/**
 * AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits. Sealed: `[form: 1 byte][nonce: 12][ciphertext][tag: 16]`. The name under which it is kept is
 * authenticated with it, so what is found elsewhere does not open. One key seals at most 2^32 values (ibid., 8.3).
 */
const FORM = 1
const NONCE_BYTES = 12
const TAG_BYTES = 16
export const KEY_BYTES = 32

export function seal(key: Uint8Array, name: string, value: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(name))
  const sealed = Buffer.concat([Uint8Array.of(FORM), nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()])
  return new Uint8Array(sealed.buffer, sealed.byteOffset, sealed.byteLength)
}

/** What {@link seal} was given; `undefined` when it was sealed with another key or under another name, or was changed. */
export function unseal(key: Uint8Array, name: string, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed[0] !== FORM || sealed.byteLength < 1 + NONCE_BYTES + TAG_BYTES) return undefined
  const end = sealed.byteLength - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, 1 + NONCE_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(name))
    .setAuthTag(sealed.subarray(end))
  try {
    const value = Buffer.concat([decipher.update(sealed.subarray(1 + NONCE_BYTES, end)), decipher.final()])
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  } catch {
    return undefined
  }
}

/** Names a key without telling anything of it. */
export const toKeyId = (key: Uint8Array): string =>
  createHash('sha256').update('perdure key id').update(key).digest('hex').slice(0, 16)
