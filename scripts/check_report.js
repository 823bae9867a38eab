// Runs within the report, and gives back what is wrong with it: a list of sentences.
const complaints = [];
const complain = (what, element) => {
    const text = (element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 60);
    complaints.push(`${what}: <${element.tagName.toLowerCase()}> "${text}"`);
};
document.querySelectorAll("details").forEach((details) => { details.open = true; });

const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > width) {
    complaints.push(`the page is ${document.documentElement.scrollWidth} wide on ${width}`);
}
const fetched = performance.getEntriesByType("resource").map((entry) => entry.name);
fetched.forEach((name) => complaints.push(`the page asked the network for ${name}`));

// Whatever is wider than its place, except where the reader can scroll.
for (const element of document.body.querySelectorAll("*:not(svg *)")) {
    const scrolls = element.closest(".scroll");
    if (element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1 && element !== scrolls) {
        complain(`${element.scrollWidth} wide in ${element.clientWidth}`, element);
    }
    const box = element.getBoundingClientRect();
    if ((!scrolls || element === scrolls) && (box.right > width + 1 || box.left < -1)) {
        complain(`from ${box.left} to ${box.right} on a page of ${width}`, element);
    }
}

const luminance = (color) => {
    const channels = color.match(/[\d.]+/g).slice(0, 3).map((channel) => channel / 255);
    const linear = channels.map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
};
const page = getComputedStyle(document.body).backgroundColor;
for (const element of document.querySelectorAll("p, li, td, th, h1, h2, h3, h4, summary, svg text")) {
    const style = getComputedStyle(element);
    const color = element.ownerSVGElement ? style.fill : style.color;
    if (contrast(color, page) < 4.5) {
        complain(`${color} can hardly be read on ${page}`, element);
    }
}

for (const place of document.querySelectorAll(".chart")) {
    if (place.querySelectorAll("svg").length !== 1) {
        complain("a chart is missing", place);
    }
}
for (const chart of document.querySelectorAll("svg")) {
    const box = chart.getBoundingClientRect();
    if (box.width < 200 || box.height < 24) {
        complain(`a chart is ${box.width} by ${box.height}`, chart);
    }
    const marks = chart.querySelectorAll("circle, polygon, polyline, rect");
    if (![...marks].some((mark) => mark.getBBox().width > 0)) {
        complain("a chart shows nothing", chart);
    }
    for (const mark of marks) {
        const style = getComputedStyle(mark);
        if (style.fill === "none" && style.stroke === "none") {
            complain("a mark has no colour", chart);
        }
    }
    const texts = [...chart.querySelectorAll("text")].map((element) =>
        ({ element, box: element.getBoundingClientRect() }));
    for (const [index, text] of texts.entries()) {
        if (text.box.left < box.left - 1 || text.box.right > box.right + 1
            || text.box.top < box.top - 1 || text.box.bottom > box.bottom + 1) {
            complain("text is cut by its chart", text.element);
        }
        if (text.box.height < 9) {
            complain(`text is ${text.box.height} high`, text.element);
        }
        for (const other of texts.slice(index + 1)) {
            const across = Math.min(text.box.right, other.box.right) - Math.max(text.box.left, other.box.left);
            const down = Math.min(text.box.bottom, other.box.bottom) - Math.max(text.box.top, other.box.top);
            if (across > 1 && down > 4) {
                complain(`it lies on "${other.element.textContent.trim()}"`, text.element);
            }
        }
    }
}
const sections = [...document.querySelectorAll("section")].map((section) =>
    [section.id, section.querySelectorAll(".chart svg").length]);
return { complaints, sections };
