"use strict";
(() => {
  const PIECE = 4 * 1024 * 1024;
  const VERDICTS = {
    whole: "Verified: whole",
    partial: "Verified: what is shown is as it was written",
    unproven: "Not verified: the file does not show enough",
    tampered: "NOT VERIFIED: this is not what was written",
  };
  const $ = (id) => document.getElementById(id);
  const bytes = Uint8Array.from(atob($("wasm").textContent.trim()), (it) => it.charCodeAt(0));
  wasm_bindgen.initSync({ module: bytes });
  $("wasm").remove();

  // A bookmark can hold the pinned key; what stands after # is not sent anywhere. Whoever
  // made the link has chosen that key, so it counts only once a person says that it is theirs.
  const keysOf = (text) => text.split("\n").map((it) => it.trim()).filter((it) => it !== "");
  // A `+` in a link stands for a space, and keys have `+` and no spaces.
  const link = new URLSearchParams(location.hash.slice(1)).get("key") ?? "";
  const linked = keysOf(link).map((it) => it.replaceAll(" ", "+"));
  const unconfirmed = () => {
    const used = keysOf($("keys").value).some((it) => linked.includes(it));
    $("linked").hidden = !used;
    $("confirmed").required = used;
    return used && !$("confirmed").checked;
  };
  if (linked.length > 0) $("keys").value = linked.join("\n");
  for (const name of ["input", "change"]) $("keys").addEventListener(name, unconfirmed);
  unconfirmed();

  // Everything of the file is text, never markup.
  const put = (parent, name, text) => {
    const it = document.createElement(name);
    it.textContent = text;
    return parent.appendChild(it);
  };
  const range = (first, last) => (first === last ? `${first}` : `${first} to ${last}`);

  const show = (report) => {
    const result = $("result");
    result.className = report.outcome;
    put(result, "h2", VERDICTS[report.outcome]);
    if (report.problems.length > 0) {
      const list = put(result, "ol", "");
      for (const it of report.problems) {
        const line = it.line > 0 ? ` (line ${it.line})` : "";
        put(list, "li", `${it.kind}: ${it.detail}${line}`);
      }
      if (report.more_problems > 0) put(result, "p", `And ${report.more_problems} more.`);
    }
    put(result, "p", `${report.shown} records are shown and ${report.hidden} are not.`);
    if (report.hidden_runs.length > 0) {
      const runs = report.hidden_runs.map((it) => range(it.first, it.last)).join(", ");
      const more = report.more_hidden_runs > 0 ? ` and ${report.more_hidden_runs} runs more` : "";
      put(result, "p", `Not shown: ${runs}${more}.`);
    }
    if (report.filter) put(result, "p", `Chosen by: ${JSON.stringify(report.filter)}.`);
    const head = report.checkpoint;
    if (head) {
      put(result, "p", `${head.size} records were signed at ${head.time} by ${head.key}.`);
    }
    for (const it of (report.archives ?? []).filter((it) => !it.seen)) {
      const which = `Records ${range(it.first, it.last)} were archived (record ${it.record})`;
      put(result, "p", `${which}, segment SHA-256 ${it.sha256}, not seen here.`);
    }
    for (const it of report.followed) {
      put(result, "p", `Record ${it.record} names the key ${it.key}, signed by the one before.`);
    }
    for (const it of report.recovered ?? []) {
      const what = `WARNING: the key ${it.key} is not followed from the key before it`;
      put(result, "p", `${what}, which record ${it.record} says was lost (${it.reason}).`);
    }
    for (const it of report.compared) {
      const agrees = it.agrees ? "agrees" : "DOES NOT AGREE";
      put(result, "p", `The checkpoint of ${it.size} records of ${it.time} ${agrees}.`);
    }
  };

  const verify = async (file) => {
    if (unconfirmed()) {
      throw "The key came from the link by which this page was opened, and nobody has confirmed it.";
    }
    const notes = await Promise.all(Array.from($("checkpoints").files, (it) => it.text()));
    const since = $("since").value === "" ? undefined : BigInt($("since").value);
    const verification = new wasm_bindgen.Verification($("keys").value, notes, since);
    const progress = $("progress");
    progress.hidden = false;
    for (let at = 0; at < file.size; at += PIECE) {
      const piece = await file.slice(at, at + PIECE).arrayBuffer();
      verification.write(new Uint8Array(piece));
      progress.value = at / file.size;
    }
    const report = verification.finish();
    verification.free();
    return report;
  };

  $("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const result = $("result");
    result.replaceChildren();
    result.className = "";
    $("verify").disabled = true;
    let report = null;
    try {
      report = await verify($("file").files[0]);
      show(JSON.parse(report));
    } catch (error) {
      result.className = "error";
      put(result, "h2", "Nothing was verified");
      put(result, "p", `${error}`);
    }
    $("verify").disabled = false;
    $("progress").hidden = true;
    result.focus();
    document.dispatchEvent(new CustomEvent("kya-verified", { detail: report }));
  });

  const drop = $("drop");
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragenter" || name === "dragover");
    });
  }
  drop.addEventListener("drop", (event) => {
    if (event.dataTransfer.files.length === 1) $("file").files = event.dataTransfer.files;
  });
  // Beside the place it would open the file instead of this page.
  for (const name of ["dragover", "drop"]) {
    window.addEventListener(name, (event) => event.preventDefault());
  }
})();
