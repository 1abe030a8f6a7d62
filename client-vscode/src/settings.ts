/** The settings that are sent to the server: those a person has set, so that files in the workspace can set the rest. */

/** What `WorkspaceConfiguration.inspect` tells of one setting. */
export interface Inspected {
  readonly globalValue?: unknown;
  readonly workspaceValue?: unknown;
  readonly workspaceFolderValue?: unknown;
}

/** Settings of this client alone. */
const CLIENT_ONLY = ["server.", "trace.", "saveEditedFiles", "languageModel"];

/** Names below `orchestrator.` that the server knows, from the extension's manifest. */
export function serverSettings(manifest: unknown): string[] {
  const sections = (manifest as { contributes: { configuration: { properties: object }[] } }).contributes.configuration;
  return sections
    .flatMap((section) => Object.keys(section.properties))
    .map((name) => name.replace(/^orchestrator\./, ""))
    .filter((name) => !CLIENT_ONLY.some((prefix) => name.startsWith(prefix)));
}

/**
 * The values a person has set, nested by the dots of their names: `limits.worker` becomes
 * `{limits: {worker: …}}`. Defaults are left out: the server has its own, and a default sent
 * as a value would win over `orchestrator.toml`.
 *
 * @param value the value in force: `get` of the configuration, which knows about trust.
 */
export function explicitSettings(
  names: readonly string[],
  inspect: (name: string) => Inspected | undefined,
  value: (name: string) => unknown,
): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const name of names) {
    const told = inspect(name);
    const levels = [told?.globalValue, told?.workspaceValue, told?.workspaceFolderValue];
    if (levels.every((level) => level === undefined)) {
      continue;
    }
    const parts = name.split(".");
    const last = parts.pop() ?? name;
    let table = result;
    for (const part of parts) {
      table = (table[part] ??= {}) as Record<string, unknown>;
    }
    table[last] = value(name);
  }
  return result;
}
