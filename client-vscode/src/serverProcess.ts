/** The server's process: started, and ended for certain. */

import { spawn, type ChildProcess } from "node:child_process";

/**
 * Starts the server on its standard streams.
 *
 * @throws what the system says where the program cannot be started.
 */
export function startProcess(file: string, cwd: string | undefined): Promise<ChildProcess> {
  const child = spawn(file, ["serve", "--stdio"], { ...(cwd === undefined ? {} : { cwd }), stdio: "pipe" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("spawn", () => {
      child.off("error", reject);
      // What goes wrong with the streams later shows as the connection's end.
      child.on("error", () => undefined);
      resolve(child);
    });
  });
}

/** Waits for the process to end; after `graceMs` milliseconds it is killed. Resolves when it is gone. */
export function processEnded(child: ChildProcess, graceMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) {
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
    child.once("exit", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
