/** P10: a deploy is not a crash. What a machine may become while its runs wait. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { doctor, type MachineEntry } from 'perdure'
import { assign, setup } from 'xstate'
import { createMachineRoom, type MachineRoom, rejectsWith } from '../support/machine-room.ts'

let room: MachineRoom
before(async () => {
  room = await createMachineRoom()
})
after(() => room.remove())

const typed = setup({
  types: { context: {} as { readonly n: number; readonly name?: string }, events: {} as { type: 'next' } | { type: 'skip' } },
})
const v1 = () =>
  typed.createMachine({
    id: 'order',
    version: '1',
    context: { n: 1 },
    initial: 'new',
    states: { new: { on: { next: 'paying' } }, paying: { on: { next: 'done' } }, done: { type: 'final' } },
  })
/** `paying` is called `billing` now. */
const v2 = (version = '2') =>
  typed.createMachine({
    id: 'order',
    version,
    context: { n: 2 },
    initial: 'new',
    states: { new: { on: { next: 'billing' } }, billing: { on: { next: 'done' } }, done: { type: 'final' } },
  })
/** More than before, nothing less. */
const v1more = () =>
  typed.createMachine({
    id: 'order',
    version: '1.1',
    context: { n: 1 },
    initial: 'new',
    states: {
      new: { on: { next: 'paying' } },
      paying: { on: { next: 'done', skip: { target: 'skipped', actions: assign({ n: 99 }) } } },
      skipped: {},
      done: { type: 'final' },
    },
  })

/** A store with one run in `paying`. */
const prepare = async (): Promise<string> => {
  const directory = room.directory()
  const machine = v1()
  const runtime = await room.open(directory, [machine])
  const run = await runtime.start(machine, { id: 'x' })
  await run.send({ type: 'next' })
  await runtime.close()
  return directory
}

test('a run continues on a machine that has everything it needs', async () => {
  const directory = await prepare()
  const machine = v1more()
  const runtime = await room.open(directory, [machine])
  const run = runtime.get<typeof machine>('x')
  await run.send({ type: 'skip' })
  assert.deepEqual([(await run.snapshot()).value, (await run.snapshot()).context.n], ['skipped', 99])
  await runtime.close()
})

test('a run is parked with the reason when its state is gone, and goes on when a machine has it again', async () => {
  const directory = await prepare()
  const changed = await room.open(directory, [v2()])
  await assert.rejects(changed.get('x').send({ type: 'next' } as never), {
    code: 'RUN_INCOMPATIBLE',
    message: /`order\.paying`/,
  })
  await rejectsWith(changed.get('x').snapshot(), 'RUN_INCOMPATIBLE')
  await rejectsWith(changed.get('x').done(), 'RUN_INCOMPATIBLE')
  const parked: string[] = []
  for await (const { id } of changed.runs({ status: 'incompatible' })) parked.push(id)
  assert.deepEqual(parked, ['x'])
  assert.equal(changed.events.filter(({ type }) => type === 'machine.parked').length, 1)
  await changed.close()

  const back = v1()
  const runtime = await room.open(directory, [back])
  const run = runtime.get<typeof back>('x')
  assert.equal((await run.snapshot()).value, 'paying')
  await run.send({ type: 'next' })
  await run.done()
  for await (const { status } of runtime.runs()) assert.equal(status, 'completed')
  await runtime.close()
})

test('a run is migrated once, and what it became stays', async () => {
  const directory = await prepare()
  let migrations = 0
  const entry: MachineEntry = {
    machine: v2(),
    migrate(snapshot, from) {
      migrations++
      assert.equal(from.version, '1')
      return { ...snapshot, value: 'billing', context: { ...snapshot.context, name: 'migrated' } }
    },
  }
  const runtime = await room.open(directory, [entry])
  await runtime.get('x').send({ type: 'skip' } as never)
  const { value, context } = await runtime.get<ReturnType<typeof v2>>('x').snapshot()
  assert.deepEqual([value, context, migrations], ['billing', { n: 1, name: 'migrated' }, 1])
  await runtime.close()
  const again = await room.open(directory, [entry])
  await again.get('x').send({ type: 'next' } as never)
  await again.get('x').done()
  assert.equal(migrations, 1)
  await again.close()
})

test('a migrate that throws leaves the run as it was', async () => {
  const directory = await prepare()
  const broken: MachineEntry = {
    machine: v2(),
    migrate() {
      throw new RangeError('no idea')
    },
  }
  const failing = await room.open(directory, [broken])
  await assert.rejects(failing.get('x').send({ type: 'next' } as never), { code: 'MIGRATION_FAILED', message: /no idea/ })
  await failing.close()
  const machine = v1()
  const runtime = await room.open(directory, [machine])
  assert.equal((await runtime.get<typeof machine>('x').snapshot()).value, 'paying')
  await runtime.close()
})

test('old runs finish on the old machine beside the new one, on which new ones start', async () => {
  const directory = await prepare()
  const machines = [v1(), v2()]
  const runtime = await room.open(directory, machines)
  await runtime.start('order', { id: 'y' })
  for (const id of ['x', 'y']) await runtime.get(id).send({ type: 'next' } as never)
  assert.equal((await runtime.get('x').snapshot()).status, 'done')
  assert.equal((await runtime.get('y').snapshot()).value, 'billing')
  await runtime.close()
})

test('a machine that was changed under the same version is noticed', async () => {
  const directory = await prepare()
  const runtime = await room.open(directory, [v2('1')])
  await rejectsWith(runtime.get('x').send({ type: 'next' } as never), 'RUN_INCOMPATIBLE')
  await runtime.get('x').cancel('cannot go on')
  await rejectsWith(runtime.get('x').done(), 'RUN_CANCELLED')
  await runtime.close()
})

test('a run with work that is parked does not stop the others at opening', async () => {
  const directory = room.directory()
  const waiting = (id: string, state: string) =>
    setup({}).createMachine({ id, initial: state, states: { [state]: { after: { 1: 'over' } }, over: { type: 'final' } } })
  const first = await room.open(directory, [waiting('a', 'one'), waiting('b', 'one')], {
    clock: { now: () => 0, setTimeout: () => 0, clearTimeout: () => {} },
  })
  await first.start('a', { id: 'run-a' })
  await first.start('b', { id: 'run-b' })
  await first.close()
  const second = await room.open(directory, [waiting('a', 'other'), waiting('b', 'one')])
  await second.get('run-b').done()
  await second.resume()
  const blocked = second.events.filter(({ type }) => type === 'machine.parked').map(({ runId }) => runId)
  assert.deepEqual(blocked, ['run-a'])
  await second.close()
})

test('the doctor says beforehand what would become of each run', async () => {
  const directory = await prepare()
  const machine = v1()
  const runtime = await room.open(directory, [machine])
  await runtime.start(machine, { id: 'fresh' })
  await runtime.close()
  const reports: unknown[] = []
  const summary = await doctor({
    directory,
    machines: [v2()],
    onRun: (found) => reports.push([found.runId, found.verdict, 'missing' in found ? found.missing : undefined]),
  })
  assert.deepEqual(reports, [
    ['fresh', 'continue', undefined],
    ['x', 'park', ['state `order.paying`']],
  ])
  assert.equal(summary.park, 1)
  const after = await room.open(directory, [v1()])
  assert.equal((await after.get('x').snapshot()).value, 'paying')
  await after.close()
})
