// The editor of policies and tests: CodeMirror over a text area. It lives in a shadow root, where its styles are constructed sheets, so that
// the page's policy needs no exception. What is typed is written to the text area, which sends the form and has it checked; the findings
// that come back are marked. Without this script the text area is the editor.
(() => {
  "use strict";
  const area = document.querySelector("textarea[data-editor]");
  if (!area || !window.CodeMirror) return;
  const { basicSetup, EditorView, EditorState, HighlightStyle, StreamLanguage, syntaxHighlighting, setDiagnostics, tags } = CodeMirror;

  // Words of Cedar, and of the JSON of tests.
  const cedar = StreamLanguage.define({
    token(stream) {
      if (stream.eatSpace()) return null;
      if (stream.match(/\/\/.*/)) return "comment";
      if (stream.match(/"(?:[^"\\]|\\.)*"?/)) return "string";
      if (stream.match(/@\w+/)) return "meta";
      if (stream.match(/\d+/)) return "number";
      if (stream.match(/(?:permit|forbid|when|unless|in|has|like|is|if|then|else|true|false|null)\b/)) return "keyword";
      if (stream.match(/(?:principal|action|resource|context)\b/)) return "atom";
      if (stream.match(/[A-Za-z_]\w*(?:::)?/)) return "variableName";
      stream.next();
      return null;
    },
    languageData: { commentTokens: { line: "//" } },
  });
  const colours = HighlightStyle.define([
    { tag: tags.comment, color: "var(--quiet)" },
    { tag: tags.string, color: "var(--good)" },
    { tag: [tags.keyword, tags.meta], color: "var(--link)", fontWeight: "600" },
    { tag: [tags.number, tags.atom], color: "var(--warn)" },
  ]);
  const theme = EditorView.theme({
    "&": { backgroundColor: "var(--paper)", color: "var(--text)", border: "1px solid var(--edge)", borderRadius: "6px" },
    "&.cm-focused": { outline: "2px solid var(--main)", outlineOffset: "2px" },
    ".cm-scroller": { fontFamily: "ui-monospace, Menlo, Consolas, monospace", fontSize: "0.92em", minHeight: "22rem", maxHeight: "70vh" },
    ".cm-gutters": { backgroundColor: "var(--sunk)", color: "var(--quiet)", borderRight: "1px solid var(--line)" },
    ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--sunk)" },
    ".cm-content": { caretColor: "var(--text)" },
    ".cm-cursor": { borderLeftColor: "var(--text)" },
    "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--line)" },
    // The library underlines with pictures, which the page's policy does not load.
    ".cm-lintRange": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)" },
    ".cm-lintRange-warning, .cm-lintRange-info, .cm-lintRange-hint": { backgroundImage: "none", textDecoration: "underline wavy var(--warn)" },
    ".cm-lintRange-error": { backgroundImage: "none" },
    ".cm-tooltip, .cm-panels": { backgroundColor: "var(--paper)", color: "var(--text)", border: "1px solid var(--line)" },
  });

  const host = document.createElement("div");
  host.className = "editor";
  area.after(host);
  const root = host.attachShadow({ mode: "open" });
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: area.value,
      extensions: [
        basicSetup,
        cedar,
        syntaxHighlighting(colours),
        theme,
        EditorView.contentAttributes.of({ "aria-label": area.dataset.editor, spellcheck: "false" }),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return;
          area.value = update.state.doc.toString();
          area.dispatchEvent(new Event("input", { bubbles: true }));
        }),
      ],
    }),
  });
  // What scrolls is reached with the keyboard.
  view.scrollDOM.tabIndex = 0;
  view.scrollDOM.setAttribute("role", "region");
  view.scrollDOM.setAttribute("aria-label", "Text of " + area.dataset.editor);
  area.hidden = true;

  // A finding names its line and column from 1, in characters; a line that is gone by now has no mark.
  const marks = () => [...document.querySelectorAll("#findings [data-line]")].flatMap((found) => {
    const number = Number(found.dataset.line);
    if (number < 1 || number > view.state.doc.lines) return [];
    const line = view.state.doc.line(number);
    const characters = [...line.text];
    const place = (count) => line.from + characters.slice(0, Math.max(0, count)).join("").length;
    const from = place(Number(found.dataset.column) - 1);
    const to = place(Number(found.dataset.column) - 1 + Number(found.dataset.length));
    return [{ from, to: Math.max(from, to), severity: found.dataset.severity, message: found.dataset.message }];
  });
  const mark = () => view.dispatch(setDiagnostics(view.state, marks()));
  document.body.addEventListener("htmx:afterSwap", (event) => { if (event.target.id === "findings" || document.getElementById("findings")) mark(); });
  document.addEventListener("click", (event) => {
    const found = event.target.closest("#findings a[data-line]");
    if (!found) return;
    event.preventDefault();
    const line = view.state.doc.line(Math.min(Number(found.dataset.line), view.state.doc.lines));
    view.dispatch({ selection: { anchor: Math.min(line.from + Number(found.dataset.column) - 1, line.to) }, scrollIntoView: true });
    view.focus();
  });
  mark();
})();
