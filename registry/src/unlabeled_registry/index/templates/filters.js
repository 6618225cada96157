"use strict";
// The list is complete without this script; it only hides what does not fit. The choice is kept in the address.
const form = document.getElementById("filters");
const count = document.getElementById("count");
const reset = document.getElementById("reset");
const cards = [...document.querySelectorAll(".card")];
const choices = ["modality", "objective", "capability", "kind"];

function fits(card) {
  const words = form.elements.q.value.toLowerCase().split(/\s+/);
  return words.every((word) => card.dataset.text.includes(word)) && choices.every((name) => {
    const wanted = form.elements[name].value;
    return !wanted || card.dataset[name].split(" ").includes(wanted);
  });
}

function show() {
  let shown = 0;
  for (const card of cards) {
    card.hidden = !fits(card);
    shown += !card.hidden;
  }
  const all = shown === cards.length;
  const noun = cards.length === 1 ? "plugin" : "plugins";
  count.textContent = all ? `${shown} ${noun}` : shown ? `${shown} of ${cards.length} ${noun}` : "No plugin fits.";
  reset.hidden = all;
}

function remember() {
  const chosen = [...new FormData(form)].filter(([, value]) => value);
  history.replaceState(null, "", "#" + new URLSearchParams(chosen));
}

function recall() {
  const chosen = new URLSearchParams(location.hash.slice(1));
  for (const name of ["q", ...choices]) form.elements[name].value = chosen.get(name) || "";
  show();
}

form.hidden = false;
form.addEventListener("input", () => { show(); remember(); });
form.addEventListener("submit", (event) => event.preventDefault());
reset.addEventListener("click", () => { form.reset(); show(); remember(); form.elements.q.focus(); });
addEventListener("hashchange", recall);
addEventListener("pageshow", recall);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !/INPUT|SELECT/.test(event.target.tagName)) {
    event.preventDefault();
    form.elements.q.focus();
  }
});
recall();
