//! The report as one page that needs nothing but itself.

use std::fmt::{self, Write};

use super::charts::Role;
use super::document::{Block, Document, Figure, Table};
use crate::study::words;

/// A longer table is opened by whoever wants to read it.
const OPEN_ROWS_MAX: usize = 24;

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub(crate) fn render(document: &Document) -> String {
    let mut page = String::new();
    write_page(document, &mut page).expect("a string takes everything");
    page
}

fn write_page(document: &Document, page: &mut String) -> fmt::Result {
    let (title, subtitle) = (escape(&document.title), escape(&document.subtitle));
    // The policy makes certain that nothing is fetched, whatever the text says.
    writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>{title}</h1>\n<p class=\"subtitle\">{subtitle}</p>\n</header>\n<main>"
    )?;
    for section in &document.sections {
        let (id, title) = (section.id, escape(&section.title));
        writeln!(page, "<section id=\"{id}\">\n<h2>{title}</h2>")?;
        for block in &section.blocks {
            write_block(block, page)?;
        }
        writeln!(page, "</section>")?;
    }
    writeln!(page, "</main>\n</body>\n</html>")
}

fn write_block(block: &Block, page: &mut String) -> fmt::Result {
    match block {
        Block::Lead(sentences) => {
            for sentence in sentences {
                writeln!(page, "<p class=\"lead\">{}</p>", escape(sentence))?;
            }
            Ok(())
        }
        Block::Paragraph(text) => writeln!(page, "<p>{}</p>", escape(text)),
        Block::Heading(text) => writeln!(page, "<h3>{}</h3>", escape(text)),
        Block::List(items) => {
            writeln!(page, "<ul>")?;
            for item in items {
                writeln!(page, "<li>{}</li>", escape(item))?;
            }
            writeln!(page, "</ul>")
        }
        Block::Table(table) if table.rows.len() > OPEN_ROWS_MAX => {
            let rows = words::number_of(table.rows.len(), "row");
            writeln!(page, "<details>\n<summary>The table, {rows}</summary>")?;
            write_table(table, page)?;
            writeln!(page, "</details>")
        }
        Block::Table(table) => write_table(table, page),
        Block::Figure(figure) => write_figure(figure, page),
        Block::Command(command) => writeln!(page, "<pre><code>{}</code></pre>", escape(command)),
    }
}

fn write_figure(figure: &Figure, page: &mut String) -> fmt::Result {
    writeln!(page, "<figure>")?;
    if !figure.caption.is_empty() {
        writeln!(page, "<figcaption>{}</figcaption>", escape(&figure.caption))?;
    }
    if !figure.legend.is_empty() {
        writeln!(page, "<ul class=\"legend\">")?;
        for server in &figure.legend {
            let role = Role::of_server(server).name();
            let name = escape(server);
            writeln!(page, "<li style=\"--swatch: var(--{role})\">{name}</li>")?;
        }
        writeln!(page, "</ul>")?;
    }
    writeln!(page, "<div class=\"charts\">")?;
    for chart in &figure.charts {
        let title = escape(&chart.title);
        writeln!(page, "<div class=\"chart\">\n<h4>{title}</h4>\n{}</div>", chart.svg)?;
    }
    writeln!(page, "</div>\n<details>\n<summary>The numbers</summary>")?;
    write_table(&figure.table, page)?;
    writeln!(page, "</details>\n</figure>")
}

fn write_table(table: &Table, page: &mut String) -> fmt::Result {
    let class =
        |index: usize| if table.columns[index].is_number { " class=\"number\"" } else { "" };
    writeln!(page, "<div class=\"scroll\" tabindex=\"0\">\n<table>")?;
    if !table.caption.is_empty() {
        writeln!(page, "<caption>{}</caption>", escape(&table.caption))?;
    }
    write!(page, "<thead><tr>")?;
    for (index, column) in table.columns.iter().enumerate() {
        write!(page, "<th scope=\"col\"{}>{}</th>", class(index), escape(&column.title))?;
    }
    writeln!(page, "</tr></thead>\n<tbody>")?;
    for row in &table.rows {
        write!(page, "<tr>")?;
        for (index, cell) in row.iter().enumerate() {
            write!(page, "<td{}>{}</td>", class(index), escape(cell))?;
        }
        writeln!(page, "</tr>")?;
    }
    writeln!(page, "</tbody></table>\n</div>")
}

/// Text that HTML takes for text, within an element and within a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}
