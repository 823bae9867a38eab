//! A report before it has a form: what `html.rs` and `markdown.rs` both render, so that the page
//! and the text say the same.

/// A whole report.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// The heading of the page.
    pub(crate) title: String,
    /// What was measured where and when, in one line.
    pub(crate) subtitle: String,
    /// In reading order.
    pub(crate) sections: Vec<Section>,
}

/// A heading and what stands below it.
#[derive(Debug)]
pub(crate) struct Section {
    /// For links: lower case, with dashes.
    pub(crate) id: &'static str,
    /// The heading.
    pub(crate) title: String,
    /// In reading order.
    pub(crate) blocks: Vec<Block>,
}

/// What a section is made of. All text is plain; the renderers escape it.
#[derive(Debug)]
pub(crate) enum Block {
    /// The verdict: sentences that stand out.
    Lead(Vec<String>),
    /// A paragraph.
    Paragraph(String),
    /// A heading within a section.
    Heading(String),
    /// Sentences, one below the other.
    List(Vec<String>),
    /// A table that is always seen.
    Table(Table),
    /// A chart, and the table behind it.
    Figure(Figure),
    /// What is typed into a terminal.
    Command(String),
}

/// Rows of text under titles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// What the table shows.
    pub(crate) caption: String,
    /// The titles of the columns.
    pub(crate) columns: Vec<Column>,
    /// Each as long as `columns`.
    pub(crate) rows: Vec<Vec<String>>,
}

/// One column of a table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Its title.
    pub(crate) title: String,
    /// Numbers stand to the right.
    pub(crate) is_number: bool,
}

/// Charts that are read together, with the numbers they were drawn from.
#[derive(Debug, Default)]
pub(crate) struct Figure {
    /// What is to be seen.
    pub(crate) caption: String,
    /// The names and styles of the servers that are drawn.
    pub(crate) legend: Vec<String>,
    /// Each as an SVG element.
    pub(crate) charts: Vec<Chart>,
    /// The numbers.
    pub(crate) table: Table,
}

/// One chart.
#[derive(Debug)]
pub(crate) struct Chart {
    /// What stands above it, and what a screen reader says.
    pub(crate) title: String,
    /// The SVG element.
    pub(crate) svg: String,
}

impl Table {
    /// A table without rows. Titles that begin with `#` are of numbers.
    pub(crate) fn new(caption: impl Into<String>, titles: &[&str]) -> Self {
        let column = |title: &&str| Column {
            title: title.trim_start_matches('#').to_owned(),
            is_number: title.starts_with('#'),
        };
        Table {
            caption: caption.into(),
            columns: titles.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }
}
