// The small project that the tests work in, and what they look at beside the window.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readdir, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";

export const FILES = {
  "app/__init__.py": "",
  "app/first.py": '"""First."""\n\n\ndef foo(value: int) -> int:\n    """Add one."""\n    return value + 1\n',
  "app/second.py": '"""Second."""\n\nfrom app.first import foo\n\n\ndef twice(value: int) -> int:\n    """Add two."""\n    return foo(foo(value))\n',
  "app/third.py": '"""Third."""\n\n\ndef alone() -> int:\n    """Give one."""\n    return 1\n',
  "notes.md": "Call foo twice.\n",
};
export const RENAME = String.raw`replace /\bfoo\b/ -> bar in **/*.py`;
export const RENAMED = { ...FILES };
for (const name of Object.keys(FILES).filter((name) => name.endsWith(".py"))) {
  RENAMED[name] = FILES[name].replaceAll("foo", "bar");
}

/** A folder with these files, removed after the tests of the suite. */
export async function project(files = FILES) {
  const folder = await mkdtemp(join(tmpdir(), "project-"));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(folder, name, ".."), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  return folder;
}

export const remove = (folder) => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });

/** Waits until `check` answers true. */
export async function until(check) {
  const deadline = Date.now() + 60_000;
  while (!(await check())) {
    assert.ok(Date.now() < deadline, "it did not happen within 60 s");
    await sleep(100);
  }
}

/** Waits until the files on disk have these texts. */
export async function assertFiles(folder, expected) {
  const read = async () => {
    const names = Object.keys(expected);
    const texts = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
    return Object.fromEntries(names.map((name, index) => [name, texts[index]]));
  };
  await until(async () => isDeepStrictEqual(await read(), expected)).catch(() => undefined);
  assert.deepEqual(await read(), expected);
}

/** Ids of the server's processes that work in the folder. */
export async function serversIn(folder, program) {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    ids.map(async (id) => {
      try {
        const command = await readFile(`/proc/${id}/cmdline`, "utf8");
        return command.includes(program) && (await readlink(`/proc/${id}/cwd`)) === folder;
      } catch {
        return false; // it ended meanwhile, or is not ours to look at
      }
    }),
  );
  return ids.filter((_, index) => found[index]);
}

/** Ids of a process and of all that it started, directly or not. */
export async function family(id) {
  const children = new Map();
  for (const name of (await readdir("/proc")).filter((each) => /^\d+$/.test(each))) {
    try {
      const stat = await readFile(`/proc/${name}/stat`, "utf8");
      const parent = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1];
      children.set(parent, [...(children.get(parent) ?? []), name]);
    } catch {
      // It ended meanwhile.
    }
  }
  const found = [id];
  for (const each of found) {
    found.push(...(children.get(each) ?? []));
  }
  return found;
}

/** Whether a process is there and not just waiting to be reaped. */
export async function isAlive(id) {
  try {
    const stat = await readFile(`/proc/${id}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2)[0] !== "Z";
  } catch {
    return false;
  }
}
