//! Charts as SVG. Each is drawn at the width of a telephone's column and stands in a grid, so that
//! its text is as large on a small screen as on a large one.
//!
//! The library draws in colours that stand for roles; what a role looks like is decided by the
//! page's style, which knows whether the reader's screen is dark. See [`Canvas::finish`].

mod bars;
mod curves;
mod findings;
mod scale;

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, Drawable, PathElement, Polygon, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontStyle, IntoTextStyle, RGBColor};

pub(crate) use bars::bars;
pub(crate) use curves::curves;
pub(crate) use findings::{DRAWN_MAX, Panel, factor};

/// The width of every chart, in units of its text.
const WIDTH: i32 = 440;
/// The size of all text.
const TEXT_SIZE: f64 = 13.0;
/// The height of a line of text.
const LINE_HEIGHT: i32 = 18;
/// Characters of the widest usual typeface that fit into [`WIDTH`].
const LINE_CHARACTERS: usize = 60;

/// What a colour is for; the names are those of the style's variables.
const ROLES: [&str; 12] = [
    "ink",
    "muted",
    "grid",
    "band",
    "other",
    "uring",
    "uring-completion",
    "uring-notification",
    "epoll",
    "raw-uring",
    "raw-epoll",
    "tokio",
];
const INK: Role = Role(0);
const MUTED: Role = Role(1);
const GRID: Role = Role(2);
const BAND: Role = Role(3);
const OTHER: usize = 4;

/// An index into [`ROLES`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Role(usize);

impl Role {
    /// That of a server's marks.
    pub(crate) fn of_server(server: &str) -> Self {
        let name = server.replace('/', "-");
        let known = ROLES.iter().skip(OTHER + 1).position(|role| *role == name);
        Role(known.map_or(OTHER, |index| OTHER + 1 + index))
    }

    /// The name of the style's variable.
    pub(crate) fn name(self) -> &'static str {
        ROLES[self.0]
    }

    /// A colour that nothing else is drawn in.
    fn color(self) -> RGBColor {
        RGBColor(1, 2, self.0 as u8)
    }
}

/// Where text stands relative to its point.
#[derive(Clone, Copy)]
enum Anchor {
    Left,
    Middle,
    Right,
}

/// A chart that is being drawn. Drawing into a string cannot fail.
struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

impl Canvas<'_> {
    /// Draws a chart of `height` and gives back its SVG element, which is called `label` where it
    /// is not seen.
    fn draw(height: i32, label: &str, draw: impl FnOnce(&Canvas<'_>)) -> String {
        let mut svg = String::new();
        let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
        let canvas = Canvas(SVGBackend::with_string(&mut svg, size).into_drawing_area());
        draw(&canvas);
        canvas.0.present().expect(CANNOT_FAIL);
        drop(canvas);
        finish(&svg, height, label)
    }

    fn put<E>(&self, element: &E)
    where
        for<'b> E: Drawable<SVGBackend<'b>>,
        for<'b, 'e> &'b E: plotters::element::PointCollection<'b, (i32, i32)>,
    {
        self.0.draw(element).expect(CANNOT_FAIL);
    }

    fn text(&self, at: (i32, i32), text: &str, role: Role, anchor: Anchor) {
        let horizontal = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        // The library divides by this, for its bitmaps' sake.
        let font = (FontFamily::Name("inherit"), TEXT_SIZE * 1.24, FontStyle::Normal);
        let color = role.color();
        let style = font.into_text_style(&self.0).color(&color);
        let style = style.pos(Pos::new(horizontal, VPos::Center));
        self.0.draw_text(text, &style, at).expect(CANNOT_FAIL);
    }

    fn line(&self, points: Vec<(i32, i32)>, role: Role, width: u32) {
        self.put(&PathElement::new(points, role.color().stroke_width(width)));
    }

    fn bar(&self, corners: [(i32, i32); 2], role: Role) {
        self.put(&Rectangle::new(corners, role.color().filled()));
    }

    /// A mark whose shape tells of the server as well as its colour does.
    fn mark(&self, (x, y): (i32, i32), role: Role) {
        const HALF: i32 = 5;
        let style = role.color().filled();
        match role.0 % 4 {
            0 => self.bar([(x - HALF + 1, y - HALF + 1), (x + HALF - 1, y + HALF - 1)], role),
            1 => self.put(&Circle::new((x, y), HALF, style)),
            2 => self.put(&Polygon::new(
                vec![(x, y - HALF), (x + HALF, y + HALF), (x - HALF, y + HALF)],
                style,
            )),
            _ => self.put(&Polygon::new(
                vec![(x, y - HALF), (x + HALF, y), (x, y + HALF), (x - HALF, y)],
                style,
            )),
        }
    }
}

const CANNOT_FAIL: &str = "a string takes everything";

/// Gives the roles to the page's style, and the size to the page.
fn finish(svg: &str, height: i32, label: &str) -> String {
    let Some((_, drawn)) = svg.split_once(">\n") else { return String::new() };
    let label = super::html::escape(label);
    let mut finished =
        format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">\n");
    finished.push_str(drawn);
    for (index, name) in ROLES.iter().enumerate() {
        // Text has its quotation marks escaped, so this cannot be found within any.
        finished =
            finished.replace(&format!("\"#0102{index:02X}\""), &format!("\"var(--{name})\""));
    }
    finished
}

/// Lines of at most `characters`, broken at spaces where there are any.
fn wrap(text: &str, characters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.len() <= characters => {
                line.push(' ');
                line.extend(&word);
            }
            _ => {
                while word.len() > characters {
                    lines.push(word.drain(..characters).collect());
                }
                lines.push(word.into_iter().collect());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Canvas, INK, Role, finish, wrap};

    #[test]
    fn colours_are_left_to_the_page() {
        let svg = Canvas::draw(50, "a \"chart\"", |canvas| {
            canvas.line(vec![(0, 0), (10, 10)], INK, 1);
            canvas.mark((5, 5), Role::of_server("epoll"));
            canvas.text((0, 10), "<b> & \"#010200\"", INK, super::Anchor::Left);
        });
        assert!(svg.contains("stroke=\"var(--ink)\""), "{svg}");
        assert!(svg.contains("fill=\"var(--epoll)\""), "{svg}");
        assert!(!svg.contains("<b>") && !svg.contains("\"#0102"), "{svg}");
        assert!(svg.contains("aria-label=\"a &quot;chart&quot;\""), "{svg}");
    }

    #[test]
    fn what_is_no_chart_stays_empty() {
        assert_eq!(finish("", 10, ""), "");
    }

    #[test]
    fn servers_that_nobody_knows_have_a_colour_too() {
        assert_eq!(Role::of_server("uring/notification").name(), "uring-notification");
        assert_eq!(Role::of_server("monoio").name(), "other");
        assert_eq!(Role::of_server("ink").name(), "other");
    }

    #[test]
    fn long_text_is_broken_and_never_cut() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("incomprehensibilities", 8), ["incompre", "hensibil", "ities"]);
    }
}
