//! Finds the images of a page. Not a parser of HTML: it knows tags, attributes and comments.

/// The `src` of each `<img>` of the page, in order, each once.
pub(crate) fn image_sources(page: &str) -> Vec<String> {
    let mut sources: Vec<String> = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let Some(("img", attributes)) = split_name(rest) else { continue };
        if let Some(source) = attribute(attributes, "src") {
            let source = source.replace("&amp;", "&");
            if !source.is_empty() && !sources.contains(&source) {
                sources.push(source);
            }
        }
    }
    sources
}

/// The name of a tag, if it is one that is looked for, and what follows it.
fn split_name(tag: &str) -> Option<(&'static str, &str)> {
    let (name, after) = tag.split_at_checked(3)?;
    let ends = after.starts_with(|next: char| next.is_ascii_whitespace() || next == '/');
    (name.eq_ignore_ascii_case("img") && ends).then_some(("img", after))
}

/// The value of an attribute, searched up to the end of the tag.
fn attribute<'a>(mut attributes: &'a str, wanted: &str) -> Option<&'a str> {
    loop {
        attributes = attributes.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let first = attributes.chars().next().filter(|first| *first != '>')?.len_utf8();
        let name_ends = |c: char| c.is_ascii_whitespace() || "=/>".contains(c);
        // An attribute cannot begin with "=", but a page can hold one there: then it is a name.
        let name_end = attributes[first..].find(name_ends).map(|at| at + first);
        let (name, after) = attributes.split_at(name_end.unwrap_or(attributes.len()));
        let (value, after) = match after.trim_start().strip_prefix('=') {
            None => ("", after),
            Some(value) => split_value(value.trim_start()),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        attributes = after;
    }
}

/// A value, with or without quotes, and what follows it.
fn split_value(text: &str) -> (&str, &str) {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => text[1..].split_once(quote).unwrap_or((&text[1..], "")),
        _ => {
            let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>');
            text.split_at(end.unwrap_or(text.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_in_order_and_once() {
        let page = r#"<html><body><img src="a.png"><p>text < more</p>
            <IMG alt='x > y' SRC = 'b.png' /><img src=c.png><img width=1 src="a.png">
            <!-- <img src="comment.png"> --><img src="d.png?e=1&amp;f=2"><img/src=g.png>"#;
        assert_eq!(image_sources(page), ["a.png", "b.png", "c.png", "d.png?e=1&f=2", "g.png"]);
    }

    #[test]
    fn what_is_no_image_is_left_out() {
        let page = r#"<image src="a"><imgx src="b"><script src="c"></script><img><img alt="src=d">
            <img data-src="e"><img src=""><img ="f"><img src"#;
        assert!(image_sources(page).is_empty());
    }

    #[test]
    fn pages_cut_anywhere_are_read_without_panic() {
        let page = "<p>é<img é=\"ü\" src='ö.png'><!-- x --><img src=a/><img";
        for end in (0..=page.len()).filter(|end| page.is_char_boundary(*end)) {
            image_sources(&page[..end]);
        }
    }
}
