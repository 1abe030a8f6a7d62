/** Where the server's program may be, in which order: pure but for one check of the disk. */

import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import * as path from "node:path";

export type Source = "setting" | "interpreter" | "workspace" | "PATH" | "bundled";

export interface Candidate {
  readonly file: string;
  readonly source: Source;
}

/** Everything the search depends on. */
export interface Surroundings {
  /** `orchestrator.server.path`; empty where it is not set. */
  readonly setting: string;
  /** The interpreter chosen in the Python extension. */
  readonly interpreter: string | undefined;
  /** Folders of the workspace, the first one first. */
  readonly folders: readonly string[];
  /** An untrusted workspace's own programs, and what it could point to, are not started. */
  readonly trusted: boolean;
  readonly searchPath: string;
  readonly home: string;
  readonly windows: boolean;
  /** This extension's folder: one that was packed for a platform has a server of its own. */
  readonly extension: string;
}

const PROGRAM = "opencode-orchestrator";

/**
 * The places to look at, best first. A setting is the only candidate where it is given: what a
 * person asked for is used or reported, not replaced.
 */
export function candidates(around: Surroundings): Candidate[] {
  const lib = around.windows ? path.win32 : path.posix;
  const program = around.windows ? `${PROGRAM}.exe` : PROGRAM;
  const setting = around.setting.trim();
  if (setting !== "") {
    return [{ file: expand(setting, around, lib), source: "setting" }];
  }
  const found: Candidate[] = [];
  if (around.trusted) {
    if (around.interpreter !== undefined) {
      found.push({ file: lib.join(lib.dirname(around.interpreter), program), source: "interpreter" });
    }
    for (const folder of around.folders) {
      found.push({
        file: lib.join(folder, ".venv", around.windows ? "Scripts" : "bin", program),
        source: "workspace",
      });
    }
  }
  for (const folder of around.searchPath.split(lib.delimiter)) {
    if (lib.isAbsolute(folder)) {
      found.push({ file: lib.join(folder, program), source: "PATH" });
    }
  }
  found.push({ file: lib.join(around.extension, "bundled", "bin", program), source: "bundled" });
  const seen = new Set<string>();
  return found.filter(({ file }) => !seen.has(file) && seen.add(file));
}

/** The first candidate that can be run. */
export async function firstRunnable(
  all: readonly Candidate[],
  runnable: (file: string) => Promise<boolean> = isRunnable,
): Promise<Candidate | undefined> {
  for (const candidate of all) {
    if (await runnable(candidate.file)) {
      return candidate;
    }
  }
  return undefined;
}

/** Whether a file is there and may be executed. */
export async function isRunnable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}

function expand(setting: string, around: Surroundings, lib: path.PlatformPath): string {
  const first = around.folders[0];
  let file = setting.replace(/^~(?=$|[/\\])/, () => around.home);
  if (first !== undefined) {
    file = file.replaceAll("${workspaceFolder}", () => first);
    file = lib.isAbsolute(file) ? file : lib.join(first, file);
  }
  return lib.normalize(file);
}
