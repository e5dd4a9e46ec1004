import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'

interface VirtualListProps<T> {
  readonly items: readonly T[]
  readonly rowHeight: number
  readonly label: string
  /** The index of the row that has the focus, or had it. */
  readonly focused: number
  readonly onFocus: (index: number) => void
  readonly children: (item: T, index: number, isFocused: boolean) => ComponentChildren
}

/** Rows drawn above and below what can be seen. */
const MARGIN = 8

/** A list of any length, of which only the rows that can be seen are there. Arrow keys, Home, End and Page keys move in it. */
export function VirtualList<T>({ items, rowHeight, label, focused, onFocus, children }: VirtualListProps<T>) {
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ top: 0, height: 800 })
  useLayoutEffect(() => {
    const element = box.current
    if (element === null) return
    const measure = (): void => setView({ top: element.scrollTop, height: element.clientHeight })
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  const first = Math.max(0, Math.floor(view.top / rowHeight) - MARGIN)
  const last = Math.min(items.length, Math.ceil((view.top + view.height) / rowHeight) + MARGIN)

  const move = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(view.height / rowHeight) - 1)
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -items.length,
      End: items.length,
    }
    const step = steps[event.key]
    if (step === undefined || items.length === 0 || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    const next = Math.min(items.length - 1, Math.max(0, focused + step))
    onFocus(next)
    const element = box.current
    if (element === null) return
    const top = next * rowHeight
    if (top < element.scrollTop) element.scrollTop = top
    else if (top + rowHeight > element.scrollTop + element.clientHeight)
      element.scrollTop = top + rowHeight - element.clientHeight
    setView({ top: element.scrollTop, height: element.clientHeight })
    const focus = (): void => element.querySelector<HTMLElement>(`[data-index="${next}"] a`)?.focus({ preventScroll: true })
    focus()
    requestAnimationFrame(focus) // it may not be drawn before
  }

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys move among the links of the list
    <div
      class="virtual"
      ref={box}
      onScroll={({ currentTarget }) => setView({ top: currentTarget.scrollTop, height: currentTarget.clientHeight })}
      onKeyDown={move}
    >
      <ul aria-label={label} class="virtual-rows" style={{ height: `${items.length * rowHeight}px` }}>
        {items.slice(first, last).map((item, offset) => {
          const index = first + offset
          return (
            <li
              key={index}
              data-index={index}
              aria-setsize={items.length}
              aria-posinset={index + 1}
              class="virtual-row"
              style={{ transform: `translateY(${index * rowHeight}px)`, height: `${rowHeight}px` }}
            >
              {children(item, index, index === focused)}
            </li>
          )
        })}
      </ul>
    </div>
  )
}
