"use strict";
// Without this script the commands say ADDRESS, and a sentence says what that is.
const root = new URL("..", location.href);
const address = root.protocol === "file:" ? decodeURIComponent(root.pathname) : root.href;
for (const place of document.querySelectorAll(".address")) place.textContent = address.replace(/\/$/, "");
document.getElementById("where").hidden = true;
if (navigator.clipboard) {
  for (const command of document.querySelectorAll(".command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(command.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    command.append(button);
  }
}
