/** Asks for a task's text: what was run before, what is selected and what the verbs look like are offered. */

import * as vscode from "vscode";
import { remembered, suggestions, type Suggestion } from "./suggestions";

const HISTORY_KEY = "orchestrator.taskHistory";

interface Item extends vscode.QuickPickItem {
  /** Absent in the item that stands for what is typed. */
  readonly suggestion?: Suggestion;
}

export class TaskPrompt {
  constructor(private readonly memory: vscode.Memento) {}

  /** Offers the text from now on: it was understood. */
  async remember(text: string): Promise<void> {
    await this.memory.update(HISTORY_KEY, remembered(this.history(), text));
  }

  /**
   * Asks; undefined where the person changed their mind.
   *
   * The first item stands for what is typed and each other item keeps its place, because VS Code
   * names a chosen item by its place in the list, and Enter may come before a changed list has
   * been shown: what runs must be what was typed.
   *
   * @param initial a text to start from.
   */
  ask(title: string, initial = ""): Promise<string | undefined> {
    const editor = vscode.window.activeTextEditor;
    const file = editor?.document.uri.scheme === "file" ? vscode.workspace.asRelativePath(editor.document.uri, false) : undefined;
    const offered = suggestions(this.history(), editor?.document.getText(editor.selection) ?? "").map(toItem);
    const input = vscode.window.createQuickPick<Item>();
    const onlyHere: vscode.QuickInputButton = {
      iconPath: new vscode.ThemeIcon("file-code"),
      tooltip: `Only in ${file ?? "this file"}`,
    };
    const type = (value: string): void => {
      input.value = value;
      input.items = [typedItem(value), ...offered];
    };
    input.title = title;
    input.placeholder = "What is to be done, for example: rename load -> read_all in src/**/*.py";
    input.ignoreFocusOut = true;
    input.matchOnDescription = true;
    input.buttons = file === undefined ? [] : [onlyHere];
    type(initial);
    return new Promise((resolve) => {
      let answer: string | undefined;
      input.onDidChangeValue(() => {
        input.items = [typedItem(input.value), ...offered];
      });
      input.onDidTriggerButton((button) => {
        if (button === onlyHere && file !== undefined) {
          type(`${input.value.trimEnd()} in ${file}`);
        }
      });
      input.onDidAccept(() => {
        const chosen = input.selectedItems[0]?.suggestion;
        if (chosen?.complete === false) {
          type(chosen.text);
          return;
        }
        answer = chosen?.text ?? input.value.trim();
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

  private history(): readonly string[] {
    return this.memory.get<string[]>(HISTORY_KEY, []);
  }
}

function typedItem(value: string): Item {
  return value.trim() === ""
    ? { label: "$(edit) Type a task", description: "or choose one", alwaysShow: true }
    : { label: `$(play) ${oneLine(value)}`, description: "Enter to run", alwaysShow: true };
}

const ICONS: Record<Suggestion["group"], string> = { selection: "selection", history: "history", verb: "lightbulb" };

/** The text is the description: VS Code puts items whose label matches above all others. */
function toItem(suggestion: Suggestion): Item {
  const hint = suggestion.hint === "" ? "" : ` · ${suggestion.hint}`;
  return { label: `$(${ICONS[suggestion.group]})`, description: `${oneLine(suggestion.text)}${hint}`, suggestion };
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ⏎ ");
}
