//! By how much the winner is better, cell by cell, with the interval and the noise.

use super::scale::Scale;
use super::{
    Anchor, BAND, Canvas, GRID, INK, LINE_CHARACTERS, LINE_HEIGHT, MUTED, Role, WIDTH, wrap,
};
use crate::study::analysis::Floors;
use crate::study::report::document::Chart;
use crate::study::schema::{Finding, Metric};
use crate::study::words::{self, capitalised};

/// More rows than this are a list, not a picture.
pub(crate) const DRAWN_MAX: usize = 12;

/// What is to the right of the marks: `99.6% less`.
const LABEL_WIDTH: i32 = 92;
const AXIS_HEIGHT: i32 = 44;

/// Everything that is won, or lost, in one metric.
pub(crate) struct Panel<'a> {
    /// In which metric.
    pub(crate) metric: Metric,
    /// The clearest first.
    pub(crate) findings: Vec<&'a Finding>,
    /// Who is better in all of them.
    pub(crate) winner: &'a str,
    /// Who is not.
    pub(crate) loser: &'a str,
    /// The largest factor on the axis, the same for wins and losses.
    pub(crate) factor_max: f64,
}

/// How many times better the better side is.
pub(crate) fn factor(ratio: f64) -> f64 {
    const FACTOR_MAX: f64 = 1000.0;
    ratio.max(1.0 / ratio).min(FACTOR_MAX)
}

impl Panel<'_> {
    /// Draws it.
    pub(crate) fn draw(&self, floors: &Floors<'_>) -> Chart {
        let drawn: Vec<(&Finding, Vec<String>)> = self
            .findings
            .iter()
            .take(DRAWN_MAX)
            .map(|finding| (*finding, wrap(&finding.title, LINE_CHARACTERS)))
            .collect();
        let rows_height: i32 = drawn.iter().map(|(_, lines)| row_height(lines)).sum();
        let (winner, loser) = (self.winner, self.loser);
        let title = capitalised(words::name(self.metric));
        let label = format!("{title}: how many times better {winner} is than {loser}");
        let svg = Canvas::draw(rows_height + AXIS_HEIGHT, &label, |canvas| {
            let scale = self.scale();
            let mut y_marks = Vec::new();
            let mut top = 0;
            for (_, lines) in &drawn {
                y_marks.push(y_of_marks(top, lines));
                top += row_height(lines);
            }
            self.draw_axis(canvas, &scale, &y_marks, rows_height);
            let mut top = 0;
            for (finding, lines) in &drawn {
                let floor = floors.at(&finding.cell, self.metric).ratio();
                self.draw_row(canvas, &scale, top, finding, lines, floor);
                top += row_height(lines);
            }
        });
        Chart { title, svg }
    }

    fn scale(&self) -> Scale {
        let (max, places) = (self.factor_max * 1.02, (8, WIDTH - LABEL_WIDTH));
        if max > 3.0 {
            Scale::logarithmic(1.0, max, places)
        } else {
            Scale::linear(1.0, max, places)
        }
    }

    fn draw_axis(&self, canvas: &Canvas<'_>, scale: &Scale, y_marks: &[i32], bottom: i32) {
        for tick in scale.ticks() {
            let x = scale.place(tick);
            // Within the rows of marks only: a line through a title helps nobody.
            for y in y_marks {
                canvas.line(vec![(x, y - 10), (x, y + 10)], GRID, 1);
            }
            let digits = if self.factor_max < 1.1 {
                2
            } else {
                usize::from(tick < 10.0 && tick.fract() > 0.001)
            };
            let anchor = if tick <= 1.0 { Anchor::Left } else { Anchor::Middle };
            let x = if tick <= 1.0 { 0 } else { x };
            canvas.text((x, bottom + 12), &format!("{tick:.digits$}×"), MUTED, anchor);
        }
        let text = format!("times better than {}", self.loser);
        canvas.text((0, bottom + 32), &text, MUTED, Anchor::Left);
    }

    fn draw_row(
        &self,
        canvas: &Canvas<'_>,
        scale: &Scale,
        top: i32,
        finding: &Finding,
        lines: &[String],
        floor: f64,
    ) {
        let mut y = top + LINE_HEIGHT / 2;
        let y_marks = y_of_marks(top, lines);
        canvas.bar([(scale.place(1.0), y_marks - 8), (scale.place(floor), y_marks + 8)], BAND);
        for line in lines {
            canvas.text((0, y), line, INK, Anchor::Left);
            y += LINE_HEIGHT;
        }
        let ratio = finding.comparison.ratio;
        let role = Role::of_server(if self.winner == "io_uring" { "uring" } else { "epoll" });
        let at = |ratio| (scale.place(factor(ratio)), y_marks);
        canvas.line(vec![at(ratio.low), at(ratio.high)], role, 3);
        canvas.mark(at(ratio.median), role);
        let change = words::change(ratio.median);
        canvas.text((WIDTH, y_marks), &change, INK, Anchor::Right);
    }
}

/// Where the marks of a row are that begins at `top`.
fn y_of_marks(top: i32, lines: &[String]) -> i32 {
    top + LINE_HEIGHT * lines.len() as i32 + 12
}

fn row_height(lines: &[String]) -> i32 {
    LINE_HEIGHT * lines.len() as i32 + 32
}
