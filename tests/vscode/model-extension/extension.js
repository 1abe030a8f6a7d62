// A language model of VS Code that plays the roles of a mission: see model.test.mjs.
const vscode = require("vscode");

const PLAN = "# Mission: Say it\n### T1: Write a note | depends: - | files: NOTES.md\n- [ ] write a note\n";
const { LanguageModelTextPart, LanguageModelToolCallPart, LanguageModelToolResultPart } = vscode;

let hangs = false;

/** What the model says, from what it is told it is. */
function reply(messages) {
  const parts = messages.flatMap((message) => message.content);
  const system = messages[0].content.map((part) => part.value ?? "").join("");
  if (system.includes("You are the Planner")) {
    return [new LanguageModelTextPart(PLAN)];
  }
  if (system.includes("You are the Reviewer")) {
    return [new LanguageModelTextPart("PASS")];
  }
  if (parts.some((part) => part instanceof LanguageModelToolResultPart)) {
    return [new LanguageModelTextPart("Noted.")];
  }
  return [new LanguageModelTextPart("I write it. "), new LanguageModelToolCallPart("c1", "create", { path: "NOTES.md", text: "A note.\n" })];
}

exports.activate = (context) => {
  const state = vscode.window.createStatusBarItem("scripted.state");
  const show = (text) => {
    state.text = `Scripted model: ${text}`;
    state.show();
  };
  const provider = {
    provideLanguageModelChatInformation: () => [
      {
        id: "actor",
        name: "Actor",
        family: "scripted",
        version: "1",
        maxInputTokens: 100_000,
        maxOutputTokens: 10_000,
        capabilities: { toolCalling: true },
        isUserSelectable: true,
      },
    ],
    provideLanguageModelChatResponse: async (_model, messages, _options, progress, token) => {
      if (hangs) {
        progress.report(new LanguageModelTextPart("Let me think"));
        show("thinking");
        await new Promise((resolve) => token.onCancellationRequested(resolve));
        show("cancelled");
        return;
      }
      reply(messages).forEach((part) => progress.report(part));
    },
    provideTokenCount: (_model, text) => Promise.resolve(JSON.stringify(text).length),
  };
  context.subscriptions.push(
    state,
    vscode.lm.registerLanguageModelChatProvider("scripted", provider),
    vscode.commands.registerCommand("scripted.hang", () => {
      hangs = true;
    }),
  );
};
