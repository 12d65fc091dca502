"use strict";
/*
 * Buttons that copy the text of an element. Some browsers have no clipboard for a page that was
 * opened from a disk: then the text is selected and copied with the older command.
 */
(() => {
  /** Select an element's text; return whether the browser could copy it. */
  function copySelected(element) {
    getSelection().selectAllChildren(element);
    try {
      return document.execCommand("copy");
    } catch {
      return false;
    }
  }

  async function copied(element) {
    try {
      await navigator.clipboard.writeText(element.textContent);
      return true;
    } catch {
      return copySelected(element);
    }
  }

  document.querySelectorAll("button[data-copies]").forEach((button) => {
    const status = button.parentElement.querySelector("[role=status]");
    button.addEventListener("click", async () => {
      const done = await copied(document.getElementById(button.dataset.copies));
      status.textContent = done ? "Copied." : "Selected: copy it with Ctrl+C or ⌘C.";
    });
  });
})();
