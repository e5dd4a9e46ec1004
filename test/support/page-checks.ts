/** What a test can tell of how a page looks. They run in the browser, as texts: the types of a browser are not those of Node.js. */
import type { Page } from 'playwright-core'

const FAINT = `(() => {
  const channel = (value) => { const part = value / 255; return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4 }
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b)
  const parse = (text) => {
    const srgb = /^color\\(srgb ([^)]*)\\)/.exec(text)
    const parts = (srgb ? srgb[1] : text).match(/[\\d.]+/g).map(Number)
    return srgb ? [parts[0] * 255, parts[1] * 255, parts[2] * 255, parts[3] ?? 1] : [parts[0], parts[1], parts[2], parts[3] ?? 1]
  }
  const groundOf = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor)
      if (color[3] > 0.99) return color
    }
    return [255, 255, 255, 1]
  }
  const found = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement
    if (!walker.currentNode.data.trim() || element.closest('svg, .hidden, .skip, .announcement, option, button:disabled')) continue
    if (element.getClientRects().length === 0) continue
    const ink = luminance(parse(getComputedStyle(element).color))
    const ground = luminance(groundOf(element))
    const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05)
    if (contrast < 4.5) found.push(walker.currentNode.data.trim().slice(0, 40) + ': ' + contrast.toFixed(2))
  }
  return [...new Set(found)]
})()`

/** Texts whose contrast to what is behind them is below 4.5. */
export const findFaint = (page: Page): Promise<readonly string[]> => page.evaluate(FAINT)

const OVERFLOW = `(() => {
  if (document.documentElement.scrollWidth <= innerWidth && (document.querySelector('main')?.scrollWidth ?? 0) <= innerWidth) return []
  const isScrolled = (element) => {
    for (let each = element.parentElement; each; each = each.parentElement)
      if (each.tagName !== 'MAIN' && /auto|scroll|hidden/.test(getComputedStyle(each).overflowX)) return true
    return false
  }
  return [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && !isScrolled(element))
    .map((element) => element.tagName + '.' + element.getAttribute('class')).slice(0, 8)
})()`

/** What makes the page wider than its window. */
export const findOverflow = (page: Page): Promise<readonly string[]> => page.evaluate(OVERFLOW)
