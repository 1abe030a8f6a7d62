/** Asks for a task's text: what was run before, what is selected and what the verbs look like are offered. */

import * as vscode from "vscode";
import { remembered, suggestions, type Suggestion } from "./suggestions";

const HISTORY_KEY = "orchestrator.taskHistory";

interface Item extends vscode.QuickPickItem {
  readonly suggestion?: Suggestion;
}

export class TaskPrompt {
  constructor(private readonly memory: vscode.Memento) {}

  /**
   * Asks; undefined where the person changed their mind.
   *
   * @param initial a text to start from.
   */
  ask(title: string, initial = ""): Promise<string | undefined> {
    const editor = vscode.window.activeTextEditor;
    const file = editor?.document.uri.scheme === "file" ? vscode.workspace.asRelativePath(editor.document.uri, false) : undefined;
    const selected = editor?.document.getText(editor.selection) ?? "";
    const input = vscode.window.createQuickPick<Item>();
    const onlyHere: vscode.QuickInputButton = {
      iconPath: new vscode.ThemeIcon("file-code"),
      tooltip: `Only in ${file ?? "this file"}`,
    };
    const offer = (): void => {
      input.items = suggestions(input.value, this.history(), selected).map(toItem);
    };
    input.title = title;
    input.value = initial;
    input.placeholder = "What is to be done, for example: rename load -> read_all in src/**/*.py";
    input.ignoreFocusOut = true;
    input.buttons = file === undefined ? [] : [onlyHere];
    offer();
    return new Promise((resolve) => {
      let answer: string | undefined;
      input.onDidChangeValue(offer);
      input.onDidTriggerButton((button) => {
        if (button === onlyHere && file !== undefined) {
          input.value = `${input.value.trimEnd()} in ${file}`;
          offer();
        }
      });
      input.onDidAccept(() => {
        const [item] = input.selectedItems;
        if (item?.suggestion?.complete === false) {
          input.value = item.suggestion.text;
          offer();
          return;
        }
        answer = item?.suggestion?.text ?? input.value.trim();
        if (answer !== "") {
          input.hide();
        }
      });
      input.onDidHide(() => {
        input.dispose();
        resolve(answer === "" ? undefined : answer);
      });
      input.show();
    });
  }

  /** Offers the text from now on: it was understood. */
  async remember(text: string): Promise<void> {
    await this.memory.update(HISTORY_KEY, remembered(this.history(), text));
  }

  private history(): readonly string[] {
    return this.memory.get<string[]>(HISTORY_KEY, []);
  }
}

const GROUPS = {
  typed: { icon: "play", title: "" },
  selection: { icon: "selection", title: "from the selection" },
  history: { icon: "history", title: "run before" },
  verb: { icon: "lightbulb", title: "what it understands" },
} as const;

function toItem(suggestion: Suggestion, index: number, all: readonly Suggestion[]): Item {
  const { icon, title } = GROUPS[suggestion.group];
  return {
    label: suggestion.text.replace(/\s*\n\s*/g, " ⏎ "),
    description: all[index - 1]?.group === suggestion.group ? suggestion.hint : [suggestion.hint, title].filter(Boolean).join(" · "),
    iconPath: new vscode.ThemeIcon(icon),
    alwaysShow: suggestion.group === "typed",
    suggestion,
  };
}
