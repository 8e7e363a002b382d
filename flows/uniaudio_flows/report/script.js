// Draws the charts, filters them by corpus, and ties each player to its picture. Everything is in the page.
const views = [];
for (const element of document.querySelectorAll("[data-chart]")) {
  const specification = JSON.parse(document.getElementById(element.dataset.chart).textContent);
  const view = new vega.View(vega.parse(vegaLite.compile(specification).spec), { renderer: "svg", container: element, hover: true });
  view.runAsync();
  views.push(view);
}

document.getElementById("corpus")?.addEventListener("change", (event) => {
  for (const view of views) {
    if ("chosen" in view.getState({ signals: (name) => name === "chosen" }).signals) view.signal("chosen", event.target.value).runAsync();
  }
});

for (const example of document.querySelectorAll(".example")) {
  const player = example.querySelector("audio");
  const canvas = example.querySelector(".canvas");
  if (!player || !canvas) continue;
  const playhead = canvas.querySelector(".playhead");
  const seconds = Number(canvas.style.getPropertyValue("--seconds"));
  canvas.addEventListener("click", (event) => {
    const place = canvas.getBoundingClientRect();
    player.currentTime = ((event.clientX - place.left) / place.width) * seconds;
    player.play().catch(() => {}); // a browser may refuse to play where nobody has clicked
  });
  const follow = () => {
    playhead.hidden = false;
    playhead.style.left = `${Math.min(100, (100 * player.currentTime) / seconds)}%`;
    if (!player.paused) requestAnimationFrame(follow);
  };
  for (const name of ["play", "seeked", "pause"]) player.addEventListener(name, follow);
}
