/** Choosing which of VS Code's language models is asked. */

import * as vscode from "vscode";
import { name, type LanguageModels } from "./languageModel";

/** Offers the models that are there, and keeps the choice in the settings. */
export async function selectModel(models: LanguageModels): Promise<void> {
  const known = await models.look();
  if (known.length === 0) {
    void vscode.window.showInformationMessage(
      "VS Code has no language model here. Sign in to one, or name an API in the setting orchestrator.model.name.",
    );
    return;
  }
  const section = vscode.workspace.getConfiguration("orchestrator");
  const chosen = section.get<string>("languageModel", "");
  const choice = await vscode.window.showQuickPick(
    [
      { label: "The first that is there", description: chosen === "" ? "chosen" : "", value: "" },
      ...known.map((model) => ({
        label: model.name,
        description: [name(model), `${model.maxInputTokens} tokens`, name(model) === chosen ? "chosen" : ""].filter(Boolean).join(" · "),
        value: name(model),
      })),
    ],
    { title: "Language model of backend “editor”", matchOnDescription: true },
  );
  if (choice !== undefined) {
    await section.update("languageModel", choice.value, vscode.ConfigurationTarget.Global);
  }
}
