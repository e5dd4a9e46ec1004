import type { ModelSettings } from '../../actors/model.ts'
import { invalid } from './api-error.ts'
import { parseWord, type WireObject } from './wire-value.ts'

const efforts = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh'] as const

/** Under which names an API takes two of the settings. */
export interface SettingNames {
  readonly maxOutputTokens: readonly string[]
  readonly reasoningEffort: unknown
}

/** The settings of a request. One that was not given is not there. */
export function parseSettings(body: WireObject, names: SettingNames): ModelSettings {
  const temperature = parseNumber(body.temperature, 'temperature', 0, 2)
  const topP = parseNumber(body.top_p, 'top_p', 0, 1)
  const maxName = names.maxOutputTokens.find((name) => body[name] !== undefined && body[name] !== null)
  const maxOutputTokens = maxName === undefined ? undefined : parseNumber(body[maxName], maxName, 1, Number.POSITIVE_INFINITY)
  const effort = names.reasoningEffort ?? undefined
  const reasoningEffort = effort === undefined ? undefined : parseWord(effort, 'reasoning_effort', efforts)
  const parallelToolCalls = typeof body.parallel_tool_calls === 'boolean' ? body.parallel_tool_calls : undefined
  return {
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topP }),
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
    ...(reasoningEffort === undefined ? {} : { reasoningEffort }),
    ...(parallelToolCalls === undefined ? {} : { parallelToolCalls }),
  }
}

function parseNumber(value: unknown, param: string, min: number, max: number): number | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'number') throw invalid(`Invalid type for '${param}': expected a decimal.`, param, 'invalid_type')
  const bound =
    value < min ? (['below minimum', '>=', min, 'below_min'] as const) : (['above maximum', '<=', max, 'above_max'] as const)
  if (value >= min && value <= max) return value
  const [side, sign, limit, code] = bound
  const message = `Invalid '${param}': decimal ${side} value. Expected a value ${sign} ${limit}, but got ${value} instead.`
  throw invalid(message, param, `decimal_${code}_value`)
}
