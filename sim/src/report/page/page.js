"use strict";
// What stood at the moment that is pointed at or chosen by the slider. Everything shown is put in as
// text, never as markup: names in it may be anything.
{
  const page = JSON.parse(document.getElementById("courses").textContent);

  // The last entry that begins at or before a bin; entries are [bin, …] in order.
  const latest = (entries, bin) => {
    let low = 0, high = entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (entries[middle][0] <= bin) low = middle + 1; else high = middle;
    }
    return entries[low - 1];
  };

  const figures = (way, bin) => {
    const at = (name) => latest(way[name], bin)[1];
    const text = `${at("ready")} ready · ${at("desired")} desired · ${at("requests")} arrived · ` +
      `${at("open")} open · ${at("held")} held`;
    return at("panic") === "0" ? text : text + " · panic";
  };

  const lines = (way, bin) => {
    const said = latest(way.said, bin);
    if (!said) return ["nothing was decided by then"];
    const lines = said[1].map(([at, line]) => `decided at ${at}  ${line}`);
    if (said[2] > 0) lines.push(`and ${said[2]} more decisions in these moments`);
    return lines;
  };

  page.charts.forEach((ways, number) => {
    const section = document.getElementById(`way-${number}`);
    const chart = section.querySelector("svg");
    const moment = chart.querySelector(".moment");
    const slider = section.querySelector("input");
    const readout = section.querySelector(".readout");
    const perBin = (page.right - page.left) / page.bins;

    const show = (bin) => {
      slider.value = bin;
      slider.setAttribute("aria-valuetext", page.times[bin]);
      const x = Math.min(page.left + (bin + 0.5) * perBin, page.right);
      moment.setAttribute("transform", `translate(${x} 0)`);
      moment.setAttribute("visibility", "visible");
      const until = page.times[bin + 1];
      readout.querySelector(".at").textContent =
        until ? `${page.times[bin]} to ${until}` : `${page.times[bin]} to the end`;
      readout.querySelectorAll(":scope > div").forEach((own, place) => {
        own.querySelector("span").textContent = figures(ways[place], bin);
        own.querySelector(".said").replaceChildren(...lines(ways[place], bin).map((line) => {
          const paragraph = document.createElement("p");
          paragraph.textContent = line;
          return paragraph;
        }));
      });
    };

    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * page.width;
      const bin = Math.floor((x - page.left) / perBin);
      show(Math.max(0, Math.min(bin, page.times.length - 1)));
    });
    slider.addEventListener("input", () => show(slider.valueAsNumber));
    slider.hidden = readout.hidden = false;
    show(slider.valueAsNumber);
  });
}
