/**
 * Who may talk to the dashboard: a browser of the person who was given its address. A page of another site cannot: it is told apart by `Origin`, one whose name was made
 * to lead here (DNS rebinding) by `Host`, and neither has the cookie.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'

export interface Guard {
  /** What the address has to have once: `?token=`. */
  readonly token: string
  /** Undefined: let it in. */
  check(request: GuardedRequest): Refusal | undefined
}

interface GuardedRequest {
  readonly method: string
  readonly url: URL
  readonly headers: IncomingHttpHeaders
}

interface Refusal {
  readonly status: number
  readonly message: string
  readonly headers?: OutgoingHttpHeaders
}

/** Of every answer. There is no script, style or connection but the dashboard's own. */
export const securityHeaders = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
} as const satisfies OutgoingHttpHeaders

const SECRET_BYTES = 32

/** `hosts`: what the dashboard is called in `Host`, with its port. */
export function createGuard(port: number, hosts: readonly string[]): Guard {
  const token = randomBytes(SECRET_BYTES).toString('base64url')
  const session = randomBytes(SECRET_BYTES).toString('base64url')
  const cookie = `perdure-${port}` // cookies know no ports
  const origins = hosts.map((host) => `http://${host}`)

  const hasCookie = ({ cookie: given = '' }: IncomingHttpHeaders): boolean =>
    given.split(/; */).some((pair) => {
      const [name, value = ''] = pair.split('=')
      return name === cookie && isSame(value, session)
    })

  return {
    token,
    check({ method, url, headers }) {
      const { host = '', origin } = headers
      if (!hosts.includes(host.toLowerCase())) return { status: 421, message: 'This is not the host that was asked for.' }
      if (origin !== undefined && !origins.includes(origin.toLowerCase()))
        return { status: 403, message: 'Another site may not ask.' }
      if (method !== 'GET' && method !== 'POST') return { status: 405, message: 'Expected the method GET or POST.' }
      if (method === 'POST') {
        if (origin === undefined) return { status: 403, message: 'Expected the header Origin.' }
        if (headers['content-type']?.split(';')[0]?.trim() !== 'application/json')
          return { status: 415, message: 'Expected the content type application/json.' }
      } else if (url.pathname === '/' && isSame(url.searchParams.get('token') ?? '', token)) {
        const setCookie = `${cookie}=${session}; Path=/; HttpOnly; SameSite=Strict`
        return { status: 303, message: 'Welcome.', headers: { location: '/', 'set-cookie': setCookie } }
      }
      if (hasCookie(headers)) return undefined
      return {
        status: 401,
        message: 'Open the address that `perdure dashboard` printed: what comes after `?token=` lets you in.',
      }
    },
  }
}

const isSame = (given: string, expected: string): boolean =>
  given.length === expected.length &&
  timingSafeEqual(Buffer.from(given.padEnd(64).slice(0, 64)), Buffer.from(expected.padEnd(64)))
