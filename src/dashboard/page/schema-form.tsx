/** A form for a JSON Schema: what it has no field for is written as JSON. */
import type { ComponentChildren } from 'preact'
import { useId, useState } from 'preact/hooks'

export type Schema = Readonly<Record<string, unknown>>

interface FieldProps {
  readonly schema: Schema
  readonly label: string
  readonly value: unknown
  readonly isRequired: boolean
  /** Undefined: nothing is given. */
  readonly onChange: (value: unknown) => void
}

const isSchema = (value: unknown): value is Schema => typeof value === 'object' && value !== null && !Array.isArray(value)
const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

/** What a form begins with. */
export function toInitial(schema: Schema): unknown {
  if ('default' in schema) return schema.default
  if ('const' in schema) return schema.const
  const [variant] = toVariants(schema) ?? []
  if (variant !== undefined && toOptions(schema) === undefined) return toInitial(variant)
  if (schema.type === 'boolean') return false
  if (schema.type !== 'object' || !isSchema(schema.properties)) return undefined
  const required = Array.isArray(schema.required) ? schema.required : []
  const entries = Object.entries(schema.properties).flatMap(([name, each]) => {
    const value = isSchema(each) && required.includes(name) ? toInitial(each) : undefined
    return value === undefined ? [] : [[name, value] as const]
  })
  return Object.fromEntries(entries)
}

export function SchemaField(props: FieldProps) {
  const { schema, label, value, isRequired, onChange } = props
  const id = useId()
  const options = toOptions(schema)
  const description = textOf(schema.description)
  if (options !== undefined)
    return (
      <Labelled id={id} label={label} isRequired={isRequired} description={description}>
        <select
          id={id}
          value={options.indexOf(value)}
          onChange={({ currentTarget }) => onChange(options[Number(currentTarget.value)])}
        >
          <option value={-1}>Choose…</option>
          {options.map((option, index) => (
            <option key={String(option)} value={index}>
              {String(option)}
            </option>
          ))}
        </select>
      </Labelled>
    )
  if (schema.type === 'boolean')
    return (
      <label class="check field">
        <input type="checkbox" checked={value === true} onChange={({ currentTarget }) => onChange(currentTarget.checked)} />
        <span>{label}</span>
        {description !== undefined && <span class="quiet">{description}</span>}
      </label>
    )
  if (schema.type === 'string')
    return (
      <Labelled id={id} label={label} isRequired={isRequired} description={description}>
        <textarea
          id={id}
          rows={2}
          value={textOf(value) ?? ''}
          onInput={({ currentTarget }) => onChange(currentTarget.value === '' && !isRequired ? undefined : currentTarget.value)}
        />
      </Labelled>
    )
  if (schema.type === 'number' || schema.type === 'integer')
    return (
      <Labelled id={id} label={label} isRequired={isRequired} description={description}>
        <input
          id={id}
          type="number"
          step={schema.type === 'integer' ? 1 : 'any'}
          value={typeof value === 'number' ? value : ''}
          onInput={({ currentTarget }) => onChange(currentTarget.value === '' ? undefined : Number(currentTarget.value))}
        />
      </Labelled>
    )
  if (schema.type === 'object' && isSchema(schema.properties)) return <ObjectFields {...props} properties={schema.properties} />
  const variants = toVariants(schema)
  if (variants !== undefined) return <Variants {...props} variants={variants} />
  return (
    <Labelled id={id} label={`${label} (JSON)`} isRequired={isRequired} description={description}>
      <JsonField id={id} value={value} onChange={onChange} />
    </Labelled>
  )
}

function ObjectFields({ schema, label, value, onChange, properties }: FieldProps & { readonly properties: Schema }) {
  const required = Array.isArray(schema.required) ? schema.required : []
  const fields = isSchema(value) ? value : {}
  return (
    <fieldset class="fields">
      {label !== '' && <legend>{label}</legend>}
      {Object.entries(properties).map(([name, each]) => (
        <SchemaField
          key={name}
          schema={isSchema(each) ? each : {}}
          label={name}
          value={fields[name]}
          isRequired={required.includes(name)}
          onChange={(next) => {
            const { [name]: _, ...rest } = fields
            onChange(next === undefined ? rest : { ...rest, [name]: next })
          }}
        />
      ))}
    </fieldset>
  )
}

function Variants({ variants, ...props }: FieldProps & { readonly variants: readonly Schema[] }) {
  const [chosen, setChosen] = useState(0)
  const schema = variants[chosen] ?? {}
  return (
    <div class="field">
      <div class="segments" role="group" aria-label={props.label === '' ? 'Kind of answer' : props.label}>
        {variants.map((variant, index) => (
          <button
            key={index}
            type="button"
            aria-pressed={index === chosen}
            onClick={() => {
              setChosen(index)
              props.onChange(toInitial(variant))
            }}
          >
            {toVariantName(variant, index)}
          </button>
        ))}
      </div>
      <SchemaField {...props} schema={schema} label={props.label} />
    </div>
  )
}

function Labelled(props: {
  readonly id: string
  readonly label: string
  readonly isRequired: boolean
  readonly description: string | undefined
  readonly children: ComponentChildren
}) {
  return (
    <div class="field">
      <label for={props.id}>
        {props.label}
        {!props.isRequired && <span class="quiet"> optional</span>}
      </label>
      {props.description !== undefined && <span class="quiet">{props.description}</span>}
      {props.children}
    </div>
  )
}

/** A value as JSON; while it is none, it is not given. */
export function JsonField({
  id,
  value,
  onChange,
}: {
  readonly id: string
  readonly value: unknown
  readonly onChange: (value: unknown) => void
}) {
  const [text, setText] = useState(value === undefined ? '' : JSON.stringify(value, undefined, 2))
  const error = text.trim() === '' ? undefined : toJsonError(text)
  return (
    <>
      <textarea
        id={id}
        class="mono"
        rows={Math.min(12, Math.max(2, text.split('\n').length))}
        spellcheck={false}
        value={text}
        aria-invalid={error !== undefined}
        onInput={({ currentTarget }) => {
          setText(currentTarget.value)
          if (currentTarget.value.trim() === '') onChange(undefined)
          else if (toJsonError(currentTarget.value) === undefined) onChange(JSON.parse(currentTarget.value))
        }}
      />
      {error !== undefined && <span class="field-error">{error}</span>}
    </>
  )
}

function toJsonError(text: string): string | undefined {
  try {
    JSON.parse(text)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function toOptions({ enum: options, anyOf, oneOf, const: only }: Schema): readonly unknown[] | undefined {
  if (Array.isArray(options)) return options
  if (only !== undefined) return [only]
  const variants: unknown = anyOf ?? oneOf
  if (!Array.isArray(variants) || !variants.every((each) => isSchema(each) && 'const' in each)) return undefined
  return variants.map((each: Schema) => each.const)
}

function toVariants({ anyOf, oneOf, type }: Schema): readonly Schema[] | undefined {
  const variants: unknown = anyOf ?? oneOf
  if (Array.isArray(variants) && variants.every(isSchema)) return variants
  return Array.isArray(type) ? type.map((each: unknown) => ({ type: each })) : undefined
}

function toVariantName({ title, type, properties }: Schema, index: number): string {
  if (typeof title === 'string') return title
  if (isSchema(properties)) return Object.keys(properties).join(', ')
  return typeof type === 'string' ? type : `Form ${index + 1}`
}
