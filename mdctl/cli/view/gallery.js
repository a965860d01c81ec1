"use strict";
const cards = [...document.querySelectorAll("article")];
const sections = [...document.querySelectorAll("section")];
const filter = document.getElementById("filter");
const count = document.getElementById("count");
const links = new Map([...document.querySelectorAll("nav a")].map(link => [link.hash.slice(1), link]));
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const stopped = new WeakSet();
let current = null;

// --- Playing: what is in sight plays, until somebody pauses it.

const mark = video => {
  const card = video.closest("article");
  if (card) card.toggleAttribute("data-paused", video.paused);
};
const play = video => video.play().then(() => mark(video), () => mark(video));
const pause = video => { video.pause(); mark(video); };
const turn = video => {
  if (video.paused) { stopped.delete(video); play(video); } else { stopped.add(video); pause(video); }
};
const eye = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) target.pause();
    else if (still || stopped.has(target)) mark(target);
    else play(target);
  }
}, { threshold: 0.2 });
for (const video of document.querySelectorAll("video")) {
  video.controls = false;
  video.addEventListener("click", () => turn(video));
  eye.observe(video);
}

// --- Filtering: each word has to stand in the prompt or in a name.

const narrow = () => {
  const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = part => wanted.every(word => part.dataset.words.toLowerCase().includes(word));
  for (const section of sections) {
    const own = [...section.querySelectorAll("article")];
    for (const card of own) card.hidden = !fits(card);
    section.hidden = own.length ? own.every(card => card.hidden) : !fits(section);
    const link = links.get(section.id);
    if (link) link.hidden = section.hidden;
  }
  const left = cards.filter(card => !card.hidden).length;
  count.textContent = wanted.length ? `${left} of ${cards.length} videos` : `${cards.length} videos`;
};
filter.addEventListener("input", narrow);
narrow();

// --- Moving: by the order of the page, or to the nearest card above and below.

const seen = () => cards.filter(card => card.offsetParent !== null);
const middle = card => {
  const box = card.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
};
const beside = step => {
  const all = seen(), place = all.indexOf(current);
  return all[place < 0 ? 0 : Math.min(Math.max(place + step, 0), all.length - 1)];
};
const across = step => {
  if (!seen().includes(current)) return seen()[0];
  const [x, y] = middle(current);
  const away = card => {
    const [otherX, otherY] = middle(card);
    return (otherY - y) * step > current.offsetHeight / 3 ? Math.abs(otherY - y) * 3 + Math.abs(otherX - x) : Infinity;
  };
  const best = seen().reduce((near, card) => (away(card) < away(near) ? card : near), current);
  return best;
};
const go = card => {
  if (!card) return;
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
};
document.addEventListener("focusin", event => { current = event.target.closest("article") ?? current; });

const moves = {
  j: () => beside(1), k: () => beside(-1), ArrowRight: () => beside(1), ArrowLeft: () => beside(-1),
  ArrowDown: () => across(1), ArrowUp: () => across(-1),
};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { key, target } = event;
  if (key === "Escape") {
    filter.value = "";
    filter.blur();
    narrow();
  } else if (target === filter) {
    if (key === "Enter" || key === "ArrowDown") { event.preventDefault(); go(seen()[0]); }
  } else if (key === "/") {
    event.preventDefault();
    filter.focus();
    filter.select();
  } else if (moves[key]) {
    event.preventDefault();
    go(moves[key]());
  } else if (key === " " && !target.closest("a")) {
    event.preventDefault();
    if (!seen().includes(current)) go(seen()[0]);
    const video = current && current.querySelector("video");
    if (video) turn(video);
  }
});
