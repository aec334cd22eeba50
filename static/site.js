// Two comforts; every page works without them.

// "/" goes to the first search field, as long as nobody is typing.
document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable], .CodeMirror");
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing) {
        return;
    }
    const field = document.querySelector("main input[type=search], input[type=search]");
    if (field) {
        event.preventDefault();
        field.focus();
        field.select();
    }
});

// <button data-copy="ID" hidden> copies the text of the element with that id.
for (const button of document.querySelectorAll("button[data-copy]")) {
    if (!navigator.clipboard) {
        break;
    }
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
        button.textContent = "Copied";
        setTimeout(() => (button.textContent = label), 2000);
    });
}
