import type { StepStatus } from '../../runtime/step-list.ts'
import { callNames, type Run, standingNames, toStanding } from './standing.ts'

export function RunBadge({ run }: { readonly run: Run }) {
  const standing = toStanding(run)
  return (
    <span class="badge" data-standing={standing}>
      {standingNames[standing]}
    </span>
  )
}

export const CallBadge = ({ status }: { readonly status: StepStatus }) => (
  <span class="badge" data-call={status}>
    {callNames[status]}
  </span>
)
