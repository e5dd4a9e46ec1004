import { existsSync } from 'node:fs'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'

const places = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** Where Chromium is; without one, tests that need it are skipped. */
export const chromium = places.find((place): place is string => place !== undefined && existsSync(place))

export const noBrowser = chromium === undefined ? 'There is no Chromium here (CHROMIUM names one)' : false

export async function openBrowser(): Promise<Browser> {
  const { chromium: driver } = await import('playwright-core')
  return driver.launch({ executablePath: chromium ?? '', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
}

/** A page of the dashboard that remembers what the browser complained about. */
export interface Watched {
  readonly page: Page
  readonly complaints: readonly string[]
}

interface PageOptions {
  readonly theme?: 'light' | 'dark'
  readonly width?: number
  readonly height?: number
}

export async function openPage(
  browser: Browser,
  url: string,
  { theme = 'light', width = 1360, height = 900 }: PageOptions = {},
): Promise<Watched> {
  const context = await browser.newContext({
    colorScheme: theme,
    viewport: { width, height },
    deviceScaleFactor: width < 500 ? 2 : 1,
  })
  const page = await context.newPage()
  page.setDefaultTimeout(10_000)
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(`thrown: ${error.message}`))
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource|ERR_CONNECTION|ERR_INCOMPLETE|net::/.test(message.text()))
      complaints.push(message.text())
  })
  await page.goto(url)
  return { page, complaints }
}

let folder: Promise<string> | undefined

/** Keeps a picture for a person to look at, in the folder that PERDURE_SCREENSHOTS names, else in a temporary one. */
export async function takePicture(page: Page, name: string): Promise<string> {
  const given = process.env.PERDURE_SCREENSHOTS
  folder ??=
    given === undefined ? mkdtemp(join(tmpdir(), 'perdure-screenshots-')) : mkdir(given, { recursive: true }).then(() => given)
  const path = join(await folder, `${name}.png`)
  await page.screenshot({ path })
  return path
}
