/** The script of the panel's page: shows what the extension drew. */

declare function acquireVsCodeApi(): { postMessage(message: unknown): void };

interface Drawing {
  /** SVG and headings of the extension's own making. */
  readonly charts: string;
  readonly table: readonly (readonly [name: string, text: string])[];
}

function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) {
    throw new Error(`the page has no element ${id}`);
  }
  return found;
}

window.addEventListener("message", ({ data }: MessageEvent<Drawing>) => {
  byId("charts").innerHTML = data.charts;
  byId("empty").hidden = data.charts !== "";
  byId("table").replaceChildren(
    ...data.table.map(([name, text]) => {
      const row = document.createElement("tr");
      for (const [tag, content] of [
        ["th", name],
        ["td", text],
      ] as const) {
        const cell = document.createElement(tag);
        cell.textContent = content;
        row.append(cell);
      }
      return row;
    }),
  );
});

acquireVsCodeApi().postMessage("ready");
