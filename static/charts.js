// datasette-vega draws the rows of `table[data-chart]`; this opens it drawn, puts it into #chart,
// and gives what it makes names that can be read aloud.

const charted = document.querySelector("table[data-chart]");
const place = document.getElementById("chart");

// It draws what the address says. Before it starts, an address that says nothing gets the chart
// of the query, or only opens the options.
if (charted && !location.hash.startsWith("#g.")) {
    history.replaceState(null, "", "#" + (charted.dataset.chart || "g.x_type=ordinal"));
}

// It runs on DOMContentLoaded too, and first: its script stands before this one.
document.addEventListener("DOMContentLoaded", () => {
    const tool = charted && charted.previousElementSibling;
    if (!tool || !place) {
        return;
    }
    place.append(tool);
    new MutationObserver(() => nameParts(place)).observe(place, {childList: true, subtree: true});
    nameParts(place);
});

function nameParts(place) {
    for (const canvas of place.querySelectorAll("canvas:not([role])")) {
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", "Chart of the rows in the table below");
    }
    const drawing = place.querySelector(".vega-embed");
    const scrolled = drawing && drawing.parentElement;
    if (scrolled && !scrolled.hasAttribute("tabindex")) {
        scrolled.tabIndex = 0;
        scrolled.setAttribute("role", "region");
        scrolled.setAttribute("aria-label", "Drawing");
    }
}

// It takes over links to the same page, to keep its fragment; links within the page are ours.
document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    const target = link && document.getElementById(link.hash.slice(1));
    if (charted && target) {
        event.preventDefault();
        target.scrollIntoView();
        target.focus();
    }
});
