/** Curves over time as SVG: pure. Colours are classes of the page's style sheet. */

/** A curve; each value belongs to the time of the same place. */
export interface Curve {
  readonly name: string;
  /** A class of the style sheet: `one` or `two`. */
  readonly style: "one" | "two";
  readonly values: readonly number[];
}

export interface Chart {
  readonly title: string;
  readonly curves: readonly Curve[];
  /** The upper end is at least this. */
  readonly least: number;
  /** Bars stand for what happened since the time before; curves for what is at a time. */
  readonly bars?: boolean;
  readonly format: (value: number) => string;
}

const WIDTH = 480;
const HEIGHT = 150;
/** Room for labels: left of the curves and below them. */
const LEFT = 58;
const BELOW = 20;
const ABOVE = 8;
const LINES = 2;

/** The chart's heading with the newest values, and its drawing. `times` are milliseconds, ascending. */
export function chart({ title, curves, least, bars = false, format }: Chart, times: readonly number[]): string {
  const newest = curves.map(
    ({ name, style, values }) =>
      `<span class="value ${style}"><i></i>${curves.length > 1 ? `${name} ` : ""}<b>${format(values.at(-1) ?? 0)}</b></span>`,
  );
  const top = ceiling(Math.max(least, ...curves.flatMap((curve) => curve.values)));
  const [start = 0] = times;
  const span = Math.max((times.at(-1) ?? 0) - start, 1);
  const x = (time: number): number => round(LEFT + ((time - start) / span) * (WIDTH - LEFT - 4));
  const y = (value: number): number => round(ABOVE + (1 - value / top) * (HEIGHT - BELOW - ABOVE));
  const grid = Array.from({ length: LINES + 1 }, (_, index) => (top * index) / LINES).map(
    (value) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH}" y1="${y(value)}" y2="${y(value)}"/>` +
      `<text x="${LEFT - 6}" y="${y(value) + 4}" text-anchor="end">${format(value)}</text>`,
  );
  const drawn = curves.map(({ style, values }) => {
    const points = values.map((value, index) => [x(times[index] ?? start), y(value)] as const);
    return bars ? columns(points, style, y(0)) : line(points, style, y(0), curves.length === 1);
  });
  const since = `<text x="${LEFT}" y="${HEIGHT - 4}">${times.length < 2 ? "" : ago(span)}</text>`;
  const now = `<text x="${WIDTH}" y="${HEIGHT - 4}" text-anchor="end">newest</text>`;
  return (
    `<h2>${title}<span>${newest.join("")}</span></h2>` +
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">${[...grid, ...drawn, since, now].join("")}</svg>`
  );
}

type Point = readonly [x: number, y: number];

function line(points: readonly Point[], style: string, floor: number, filled: boolean): string {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) {
    return "";
  }
  const path = points.map(([x, y]) => `${x},${y}`).join(" ");
  const area = filled ? `<polygon class="area ${style}" points="${first[0]},${floor} ${path} ${last[0]},${floor}"/>` : "";
  return `${area}<polyline class="line ${style}" points="${path}"/><circle class="dot ${style}" cx="${last[0]}" cy="${last[1]}" r="3"/>`;
}

function columns(points: readonly Point[], style: string, floor: number): string {
  return points
    .filter(([, y]) => y < floor)
    .map(([x, y]) => `<line class="bar ${style}" x1="${x}" x2="${x}" y1="${floor}" y2="${y}"/>`)
    .join("");
}

/** The next number of the form 1, 2 or 4 times a power of ten that is not smaller. */
export function ceiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 4, 10].find((factor) => factor * power >= value * (1 - 1e-9)) ?? 10;
  return step * power;
}

function ago(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 100 ? `${seconds} s before` : `${Math.round(seconds / 60)} min before`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
