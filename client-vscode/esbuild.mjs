// Bundles the extension into dist/extension.js, or with --tests each test into dist/test/.
import { readdir } from "node:fs/promises";
import { build, context } from "esbuild";

const flags = new Set(process.argv.slice(2));
const shared = {
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  external: ["vscode"],
  logLevel: "warning",
  sourcemap: flags.has("--production") ? false : "linked",
};
const extension = {
  ...shared,
  entryPoints: ["src/extension.ts"],
  outfile: "dist/extension.js",
  minify: flags.has("--production"),
};

const page = {
  ...extension,
  platform: "browser",
  target: "es2022",
  format: "iife",
  entryPoints: ["src/webview/stats.ts"],
  outfile: "dist/stats.js",
};

if (flags.has("--tests")) {
  const tests = (await readdir("test")).filter((name) => name.endsWith(".test.ts"));
  const alias = { vscode: "./test/fakeVscode.ts" };
  await build({ ...shared, external: [], alias, entryPoints: tests.map((name) => `test/${name}`), outdir: "dist/test" });
} else if (flags.has("--watch")) {
  await Promise.all([extension, page].map(async (options) => (await context(options)).watch()));
} else {
  await Promise.all([extension, page].map((options) => build(options)));
}
