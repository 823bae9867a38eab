//! The report as Markdown: for a terminal, and for a place that renders it.

use std::fmt::{self, Write};

use super::document::{Block, Document, Table};

/// The whole report.
pub(crate) fn render(document: &Document) -> String {
    let mut text = String::new();
    write_document(document, &mut text).expect("a string takes everything");
    text
}

fn write_document(document: &Document, text: &mut String) -> fmt::Result {
    writeln!(text, "# {}\n\n{}", escape(&document.title), escape(&document.subtitle))?;
    for section in &document.sections {
        writeln!(text, "\n## {}", escape(&section.title))?;
        for block in &section.blocks {
            text.push('\n');
            write_block(block, text)?;
        }
    }
    Ok(())
}

fn write_block(block: &Block, text: &mut String) -> fmt::Result {
    match block {
        Block::Lead(sentences) | Block::List(sentences) => {
            for sentence in sentences {
                writeln!(text, "- {}", escape(sentence))?;
            }
        }
        Block::Paragraph(paragraph) => writeln!(text, "{}", escape(paragraph))?,
        Block::Heading(heading) => writeln!(text, "### {}", escape(heading))?,
        Block::Table(table) => write_table(table, text)?,
        Block::Figure(figure) => {
            if !figure.caption.is_empty() {
                writeln!(text, "{}\n", escape(&figure.caption))?;
            }
            write_table(&figure.table, text)?;
        }
        Block::Command(command) => {
            // A fence that is longer than any run of backquotes within.
            let longest = command.split(|c| c != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat(longest.max(2) + 1);
            writeln!(text, "{fence}console\n$ {command}\n{fence}")?;
        }
    }
    Ok(())
}

/// Columns are padded, so that a table is legible where nothing renders it.
fn write_table(table: &Table, text: &mut String) -> fmt::Result {
    if !table.caption.is_empty() {
        writeln!(text, "{}:\n", escape(&table.caption))?;
    }
    let titles: Vec<String> = table.columns.iter().map(|column| escape(&column.title)).collect();
    let rows: Vec<Vec<String>> =
        table.rows.iter().map(|row| row.iter().map(|cell| escape(cell)).collect()).collect();
    let width = |index: usize| {
        let all = rows.iter().chain([&titles]).map(|row| row[index].chars().count());
        all.max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut write_row = |row: &[String]| {
        for ((cell, width), column) in row.iter().zip(&widths).zip(&table.columns) {
            if column.is_number {
                write!(text, "| {cell:>width$} ")?;
            } else {
                write!(text, "| {cell:<width$} ")?;
            }
        }
        writeln!(text, "|")
    };
    write_row(&titles)?;
    let rules = widths.iter().zip(&table.columns).map(|(width, column)| {
        if column.is_number { "-".repeat(width - 1) + ":" } else { "-".repeat(*width) }
    });
    write_row(&rules.collect::<Vec<_>>())?;
    rows.iter().try_for_each(|row| write_row(row))
}

/// Text that Markdown takes for text, in one line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => escaped.push(' '),
            // In GitHub's tables only a backslash keeps a bar from ending the cell.
            '\\' | '`' | '*' | '[' | ']' | '<' | '|' | '#' => escaped.extend(['\\', character]),
            // Within a word it means nothing.
            '\u{a0}' => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}
