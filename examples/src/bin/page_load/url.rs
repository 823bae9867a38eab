//! As much of a URL as fetching over plain HTTP needs.

use std::fmt;

/// An `http://` URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// Host and port as written, for the Host header.
    authority: String,
    /// Path and query; begins with a slash.
    target: String,
}

impl Url {
    /// Parses an absolute URL.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let rest = strip_prefix_ignoring_case(text, "http://")
            .ok_or_else(|| format!("\"{text}\" does not begin with http://"))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(is_plain) {
            return Err(format!("\"{text}\" names no server"));
        }
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("\"{text}\" holds a space or another byte that must be encoded"));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { authority: authority.to_owned(), target: format!("{slash}{target}") })
    }

    /// The URL that `reference`, found in the page at this URL, means.
    pub(crate) fn join(&self, reference: &str) -> Result<Self, String> {
        let reference = reference.trim();
        if reference.starts_with("//") {
            return Self::parse(&format!("http:{reference}"));
        }
        let has_scheme =
            reference.split(['/', '?', '#']).next().is_some_and(|start| start.contains(':'));
        if has_scheme {
            return Self::parse(reference);
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let folder = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
        let base = match reference.chars().next() {
            Some('/') => "",
            Some('?') => path,
            _ => folder,
        };
        // A server resolves `..` as well, so nothing is lost by sending it as it is written.
        Self::parse(&format!("http://{}{base}{reference}", self.authority))
    }

    /// Host and port, as the Host header names them.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Host and port to connect to.
    pub(crate) fn address(&self) -> String {
        let after_host = self.authority.rfind(']').unwrap_or(0);
        if self.authority[after_host..].contains(':') {
            self.authority.clone()
        } else {
            format!("{}:80", self.authority)
        }
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }
}

impl std::str::FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}{}", self.authority, self.target)
    }
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_fall_into_their_parts() {
        for (text, address, target) in [
            ("http://a", "a:80", "/"),
            ("HTTP://a.b:8080/c?d#e", "a.b:8080", "/c?d"),
            ("http://a?b", "a:80", "/?b"),
            ("http://[::1]/a", "[::1]:80", "/a"),
            ("http://[::1]:81/a", "[::1]:81", "/a"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((&*url.address(), url.target()), (address, target), "{text}");
        }
        for text in ["", "a", "https://a/", "http://", "http:///a", "http://a b/", "http://a/b c"] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn references_are_resolved_against_their_page() {
        let page = Url::parse("http://a:81/b/c.html?d").unwrap();
        for (reference, url) in [
            ("e.png", "http://a:81/b/e.png"),
            ("./e/f.png", "http://a:81/b/./e/f.png"),
            ("/e.png", "http://a:81/e.png"),
            ("?e", "http://a:81/b/c.html?e"),
            ("//f/e.png", "http://f/e.png"),
            (" http://g:82/e.png ", "http://g:82/e.png"),
        ] {
            assert_eq!(page.join(reference).unwrap().to_string(), url, "{reference}");
        }
        for reference in ["data:image/png;base64,AAAA", "https://a/b", "//"] {
            assert!(page.join(reference).is_err(), "{reference}");
        }
    }
}
