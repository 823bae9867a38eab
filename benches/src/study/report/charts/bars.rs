//! What each server needs for the same work: bars that begin at zero, cell by cell.

use super::{Anchor, Canvas, GRID, INK, LINE_CHARACTERS, LINE_HEIGHT, MUTED, Role, WIDTH, wrap};
use crate::stats::median;
use crate::study::ratio::{self, AGAIN};
use crate::study::report::document::Chart;
use crate::study::schema::{Cell, Metric};
use crate::study::words;

/// What is to the left of the bars: `uring/notification`.
const NAME_WIDTH: i32 = 136;
/// What is to the right of the bars: `123,456,789/s`.
const VALUE_WIDTH: i32 = 108;
const BAR_HEIGHT: i32 = 11;
const GAP: i32 = 14;

/// One chart of `metric` over `cells`; none when no cell has values of it. Bars are as long as
/// their share of the longest in the same cell.
pub(crate) fn bars(cells: &[&Cell], metric: Metric, title: &str) -> Option<Chart> {
    let groups: Vec<Group> = cells.iter().filter_map(|cell| Group::of(cell, metric)).collect();
    if groups.is_empty() {
        return None;
    }
    let height: i32 = groups.iter().map(Group::height).sum();
    let svg = Canvas::draw(height, title, |canvas| {
        let mut top = 0;
        for group in &groups {
            group.draw(canvas, top, metric);
            top += group.height();
        }
    });
    Some(Chart { title: title.to_owned(), svg })
}

struct Group<'a> {
    title: Vec<String>,
    values: Vec<(&'a str, f64)>,
}

impl<'a> Group<'a> {
    fn of(cell: &'a Cell, metric: Metric) -> Option<Self> {
        let servers = ratio::servers(&cell.runs).into_iter().filter(|name| !name.ends_with(AGAIN));
        let values: Vec<(&str, f64)> = servers
            .filter_map(|server| {
                let values = ratio::values(&cell.runs, server, metric);
                (!values.is_empty()).then(|| (server, median(&values)))
            })
            .collect();
        let title = wrap(&cell.title, LINE_CHARACTERS);
        (!values.is_empty()).then_some(Group { title, values })
    }

    fn height(&self) -> i32 {
        LINE_HEIGHT * (self.title.len() + self.values.len()) as i32 + GAP
    }

    fn draw(&self, canvas: &Canvas<'_>, top: i32, metric: Metric) {
        let mut y = top + LINE_HEIGHT / 2;
        for line in &self.title {
            canvas.text((0, y), line, INK, Anchor::Left);
            y += LINE_HEIGHT;
        }
        let largest = self.values.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
        let room = f64::from(WIDTH - NAME_WIDTH - VALUE_WIDTH);
        for (server, value) in &self.values {
            let length = (value / largest * room).round() as i32;
            let (left, right) = (NAME_WIDTH, NAME_WIDTH + length);
            let (above, below) = (y - BAR_HEIGHT / 2, y + BAR_HEIGHT / 2);
            canvas.text((left - 8, y), &shortened(server), MUTED, Anchor::Right);
            canvas.bar([(left, above), (right.max(left + 1), below)], Role::of_server(server));
            canvas.text((right + 6, y), &words::value(metric, *value), INK, Anchor::Left);
            y += LINE_HEIGHT;
        }
        let bottom = y - LINE_HEIGHT / 2;
        let first = bottom - LINE_HEIGHT * self.values.len() as i32;
        canvas.line(vec![(NAME_WIDTH, first), (NAME_WIDTH, bottom)], GRID, 1);
    }
}

/// A name that nobody has chosen for its width; the table has it in full.
fn shortened(server: &str) -> String {
    const CHARACTERS_MAX: usize = 18;
    if server.chars().count() <= CHARACTERS_MAX {
        return server.to_owned();
    }
    server.chars().take(CHARACTERS_MAX - 1).chain(['…']).collect()
}
