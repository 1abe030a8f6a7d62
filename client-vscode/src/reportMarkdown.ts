/** An answer of the server as markdown: lists and tables, whatever its fields. Pure. */

/**
 * @param title the heading.
 * @param value what the server answered.
 * @param level of the heading, from 1.
 */
export function reportMarkdown(title: string, value: unknown, level = 1): string {
  return [`${"#".repeat(Math.min(level, 6))} ${escaped(title)}`, ...body(value, level)].join("\n\n");
}

function body(value: unknown, level: number): string[] {
  if (Array.isArray(value)) {
    return listBody(value, level);
  }
  if (!isTable(value)) {
    return [cell(value)];
  }
  const plain = Object.entries(value).filter(([, item]) => !isNested(item));
  const nested = Object.entries(value).filter(([, item]) => isNested(item));
  const parts: string[] = [];
  if (plain.length > 0) {
    parts.push(table(["", ""], plain.map(([key, item]) => [words(key), cell(item)])));
  }
  for (const [key, item] of nested) {
    parts.push(reportMarkdown(words(key), item, level + 1));
  }
  return parts;
}

function listBody(items: readonly unknown[], level: number): string[] {
  if (items.length === 0) {
    return ["None."];
  }
  const rows = items.filter(isTable);
  if (rows.length < items.length) {
    return [items.map((item) => `- ${cell(item)}`).join("\n")];
  }
  if (rows.every((row) => Object.values(row).every((item) => !isNested(item)))) {
    const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    return [table(keys.map(words), rows.map((row) => keys.map((key) => cell(row[key]))))];
  }
  return rows.map((row, index) => reportMarkdown(nameOf(row) ?? String(index + 1), row, level + 1));
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a value needs a section of its own; a list of plain values fits a cell. */
function isNested(value: unknown): boolean {
  return Array.isArray(value) ? value.some((item) => typeof item === "object" && item !== null) : isTable(value);
}

function nameOf(row: Record<string, unknown>): string | undefined {
  const name = row.title ?? row.text ?? row.name ?? row.id;
  return typeof name === "string" && name !== "" ? name : undefined;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => ":--")), ...rows.map(line)].join("\n");
}

function cell(value: unknown): string {
  if (value === null || value === undefined || value === "") {
    return "–";
  }
  if (Array.isArray(value)) {
    return value.length === 0 ? "–" : value.map(cell).join(", ");
  }
  if (typeof value === "number") {
    return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
  }
  return escaped(typeof value === "string" ? value : JSON.stringify(value));
}

function escaped(text: string): string {
  return text.replace(/[\\`*_{}[\]<>#|~$]/g, "\\$&").replace(/\s*\n\s*/g, " ");
}

/** `hitRate` → `hit rate`. */
function words(key: string): string {
  return escaped(key.replace(/([a-z0-9])([A-Z])/g, "$1 $2").replaceAll("_", " ").toLowerCase());
}
