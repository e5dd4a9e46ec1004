/** A program for tests: opens the store `store` in its folder, says which modules of HTTP are loaded, and ends without closing it. */
import { openRuntime } from 'perdure'

await openRuntime({ directory: 'store', log: 'silent' })
// Not in the types: for tests of Node.js itself, and the one place that tells.
const { moduleLoadList } = process as typeof process & { readonly moduleLoadList: readonly string[] }
console.log(JSON.stringify(moduleLoadList.filter((name) => /^NativeModule (?:http|_http_server)$/.test(name))))
