/** What the prompt offers beside the typed text: pure. */

export interface Suggestion {
  readonly text: string;
  /** Shown beside the text. */
  readonly hint: string;
  readonly group: "selection" | "history" | "verb";
  /** Whether choosing it runs it; false means that the text is put into the input to be finished. */
  readonly complete: boolean;
}

const VERBS: readonly (readonly [string, string])[] = [
  ["rename old_name -> new_name", "a symbol, in all files that use it"],
  ["replace /regular expression/ -> text in src/**", "text"],
  ["rewrite print($A) -> log.info($A) in **/*.py", "by syntax tree"],
  ["fix lint in src", "what the linter can repair"],
  ["format src", "with the formatter"],
  ["check", "run the checks, change nothing"],
];

const HISTORY_LIMIT = 50;
const SELECTION_LIMIT = 2000;

/** The selection, then the history, the newest first, then the verbs. */
export function suggestions(history: readonly string[], selected: string): Suggestion[] {
  const selection = fromSelection(selected.trim());
  return [
    ...(selection === undefined ? [] : [selection]),
    ...history.map((text): Suggestion => ({ text, hint: "", group: "history", complete: true })),
    ...VERBS.map(([text, hint]): Suggestion => ({ text, hint, group: "verb", complete: false })),
  ];
}

/** The history with `text` as its newest entry. */
export function remembered(history: readonly string[], text: string): string[] {
  return [text, ...history.filter((old) => old !== text)].slice(0, HISTORY_LIMIT);
}

/** A selected name is likely to be renamed; any other text may be a task, for example a to-do comment. */
function fromSelection(selected: string): Suggestion | undefined {
  if (/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(selected)) {
    return { text: `rename ${selected} -> `, hint: "type the new name", group: "selection", complete: false };
  }
  if (selected === "" || selected.length > SELECTION_LIMIT) {
    return undefined;
  }
  return { text: selected, hint: "the selection", group: "selection", complete: false };
}
