/** What the server prints, in the output channel. */

import * as readline from "node:readline";
import type * as vscode from "vscode";

/** Writes what the server prints to the output, at the level that a line begins with or the one before it had. */
export function logLines(stream: NodeJS.ReadableStream, output: vscode.LogOutputChannel): void {
  let level: keyof typeof LOG_LEVELS = "WARNING";
  readline.createInterface({ input: stream, crlfDelay: Infinity }).on("line", (line) => {
    const [, named, text] = /^(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b:?\s*(.*)$/.exec(line) ?? [];
    level = (named as keyof typeof LOG_LEVELS | undefined) ?? level;
    output[LOG_LEVELS[level]](text ?? line);
  });
}

const LOG_LEVELS = { DEBUG: "debug", INFO: "info", WARNING: "warn", ERROR: "error", CRITICAL: "error" } as const;
