// The SQL editor: colours, Shift+Enter, and "Format SQL". Without it, a plain text field.

const form = document.querySelector("form.sql");
const field = document.getElementById("sql-editor");
const shown = document.getElementById("sql-query");
const formatButton = document.getElementById("sql-format");

const editor =
    field &&
    window.CodeMirror &&
    CodeMirror.fromTextArea(field, {
        mode: "text/x-sql",
        lineNumbers: true,
        lineWrapping: true,
        viewportMargin: Infinity,
        extraKeys: {Tab: false, "Shift-Tab": false}, // the keyboard must be able to leave
    });
if (editor) {
    editor.getInputField().setAttribute("aria-label", "SQL");
    document.querySelector("label[for=sql-editor]").addEventListener("click", () => editor.focus());
}

if (form) {
    form.addEventListener(
        "keydown",
        (event) => {
            if (event.key === "Enter" && event.shiftKey) {
                event.preventDefault();
                event.stopPropagation(); // the editor would begin a line
                form.requestSubmit();
            }
        },
        true,
    );
}

if (formatButton && window.sqlFormatter) {
    formatButton.hidden = false;
    formatButton.addEventListener("click", () => {
        if (editor) {
            editor.setValue(sqlFormatter.format(editor.getValue()));
        } else if (field) {
            field.value = sqlFormatter.format(field.value);
        } else {
            shown.textContent = sqlFormatter.format(shown.textContent);
        }
    });
}
