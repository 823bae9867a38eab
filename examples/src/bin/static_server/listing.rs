//! The page that lists a folder without an index page.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use crate::resource::encode_name;

/// Entries beyond which a listing is cut, so that no folder makes a page without bounds.
pub(crate) const ENTRIES_MAX: usize = 10_000;

/// One entry of a folder. The order of fields sorts folders first, then by name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) is_file: bool,
    pub(crate) name: OsString,
}

/// Writes the page of the folder whose target, decoded, is `title`. The entries come in any order.
pub(crate) fn page(title: &str, mut entries: Vec<Entry>) -> String {
    entries.sort_unstable();
    let title = Escaped(title);
    let mut page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n"
    );
    if title.0 != "/" {
        page.push_str("<li><a href=\"../\">../</a>\n");
    }
    for Entry { is_file, name } in entries.iter().take(ENTRIES_MAX) {
        let slash = if *is_file { "" } else { "/" };
        // With `./` before it, no name can be taken for a URL of its own ("javascript:…").
        page.push_str("<li><a href=\"./");
        page.extend(encode_name(name.as_bytes()));
        let name = name.to_string_lossy();
        writeln!(page, "{slash}\">{}{slash}</a>", Escaped(&name)).expect("a String takes all");
    }
    page.push_str("</ul>\n");
    if entries.len() > ENTRIES_MAX {
        writeln!(page, "<p>Only {ENTRIES_MAX} entries are listed.").expect("a String takes all");
    }
    page
}

/// Text as HTML shows it.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn entry(name: &str, is_file: bool) -> Entry {
        Entry { is_file, name: name.into() }
    }

    #[test]
    fn folders_stand_first_and_names_are_sorted() {
        let page = page("/sub/", vec![entry("b", true), entry("z", false), entry("a", true)]);
        let links: Vec<_> = page.lines().filter(|line| line.starts_with("<li>")).collect();
        assert_eq!(
            links,
            [
                "<li><a href=\"../\">../</a>",
                "<li><a href=\"./z/\">z/</a>",
                "<li><a href=\"./a\">a</a>",
                "<li><a href=\"./b\">b</a>",
            ]
        );
    }

    #[test]
    fn the_root_has_no_way_up() {
        assert!(!page("/", Vec::new()).contains("../"));
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let evil = "\"><script>alert('x')</script>&amp;?#%";
        let page = page(&format!("/{}/", evil), vec![entry(evil, true)]);
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)"), "{page}");
        assert!(page.contains("href=\"./%22%3E%3Cscript%3Ealert(%27x%27)"), "{page}");
        assert!(page.contains("%26amp;%3F%23%25\""), "{page}");
    }

    #[test]
    fn a_name_that_is_no_text_keeps_its_bytes_in_the_link() {
        let name = OsString::from_vec(vec![b'a', 0xff]);
        let page = page("/", vec![Entry { is_file: true, name }]);
        assert!(page.contains("href=\"./a%FF\">a\u{fffd}</a>"), "{page}");
    }

    #[test]
    fn a_long_listing_says_that_it_is_cut() {
        let entries = (0..=ENTRIES_MAX).map(|n| entry(&n.to_string(), true)).collect();
        let page = page("/", entries);
        assert_eq!(page.matches("<li>").count(), ENTRIES_MAX);
        assert!(page.contains("Only 10000 entries"));
    }
}
