// Small comforts. Every page works without them.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);

  // After a refusal, the list of what is wrong is read first.
  byId("errors")?.focus();

  // "Withdraw all" and the made-up card fill the form in without asking the server.
  document.querySelector("[data-all]")?.addEventListener("click", (event) => {
    event.preventDefault();
    const amount = byId("amount");
    amount.value = event.currentTarget.dataset.all;
    amount.focus();
  });
  document.querySelector("[data-fill]")?.addEventListener("click", (event) => {
    event.preventDefault();
    for (const [name, value] of Object.entries(JSON.parse(event.currentTarget.dataset.fill))) byId(name).value = value;
    byId("amount").focus();
  });

  // A second click while the first is under way does nothing. The form's key would make it harmless anyway.
  for (const form of document.querySelectorAll("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "yes";
    });
  }
  // A page that comes back from the browser's memory can be sent again.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // The countdown until another code can be sent.
  const resend = document.querySelector("button[data-wait]");
  if (resend) {
    const words = resend.textContent;
    const until = Date.now() + Number(resend.dataset.wait) * 1000;
    for (const hint of document.querySelectorAll("[data-without-script]")) hint.hidden = true;
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      resend.disabled = left > 0;
      resend.textContent = left > 0 ? resend.dataset.waiting.replace("{n}", left) : words;
      if (left > 0) setTimeout(tick, 250);
    };
    tick();
  }

  // Live status: reads the page again and puts in what changed. Slower the longer nothing happens.
  const first = Number(document.body.dataset.liveEvery);
  if (!first) return;
  let pause = first * 1000;
  let looking = false;

  const statuses = (root) => [...root.querySelectorAll("[data-status]")].map((one) => one.dataset.status).join(" ");

  const putIn = (page) => {
    let changed = false;
    for (const region of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(region.id);
      if (!fresh || fresh.innerHTML === region.innerHTML) continue;
      const focused = region.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      if (statuses(fresh) !== statuses(region)) {
        changed = true;
        const said = fresh.querySelector("[data-announce]");
        if (said) byId("announce").textContent = said.dataset.announce;
      }
      region.replaceChildren(...fresh.childNodes);
      if (focused) [...region.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
    }
    return changed;
  };

  const look = async () => {
    if (looking || document.hidden) return;
    looking = true;
    try {
      const answer = await fetch(location.pathname + location.search, { headers: { "X-Live": "yes" } });
      if (answer.redirected) {
        // The withdrawal has moved on, or the session is over: the server knows where to.
        location.assign(answer.url);
        return;
      }
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (putIn(page)) pause = first * 1000;
      if (!page.body.dataset.liveEvery) pause = 0;
    } catch {
      // The network is away for a moment; the next look will tell.
    } finally {
      looking = false;
    }
  };

  const again = () => {
    if (!pause) return;
    setTimeout(async () => {
      await look();
      pause = Math.min(pause * 1.15, 20000);
      again();
    }, pause);
  };
  document.addEventListener("visibilitychange", look);
  again();
})();
