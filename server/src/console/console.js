// Live parts of a page: the server renders them, this puts them in place. Without a script pages are as of their loading.
"use strict";
const live = document.querySelector("[data-live]");
if (live) {
  const status = document.getElementById("live-status");
  const source = new EventSource(live.dataset.live);
  const shown = new Map();
  source.addEventListener("part", (event) => {
    const { id, html } = JSON.parse(event.data);
    const part = document.getElementById(id);
    if (!part || shown.get(id) === html) return;
    shown.set(id, html);
    // A reader that scrolled a wide table sideways stays there.
    const scrolled = [...part.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    part.innerHTML = html;
    part.querySelectorAll(".scroll").forEach((box, at) => { box.scrollLeft = scrolled[at] || 0; });
  });
  source.addEventListener("open", () => { status.textContent = "Live."; });
  source.addEventListener("error", () => { status.textContent = "Not live: the server does not answer. Trying again."; });
  source.addEventListener("end", () => { source.close(); location.assign("/sign-in"); });
  addEventListener("pagehide", () => source.close());
}
