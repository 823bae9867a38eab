//! What stands in the parentheses of an attribute: `name = value`, any number of times.

use proc_macro::{Span, TokenStream, TokenTree};

use crate::function::Mistake;

/// What an attribute knows.
pub(crate) struct Known {
    /// How messages call the attribute.
    pub(crate) attribute: &'static str,
    /// The names of drivers, and the variants of `corering::Driver`.
    pub(crate) drivers: &'static [(&'static str, &'static str)],
    /// Whether it takes `worker = FUNCTIONS`.
    pub(crate) takes_worker: bool,
}

#[derive(Default)]
pub(crate) struct Arguments {
    /// The variant of `corering::Driver` that was asked for, if any.
    pub(crate) driver: Option<&'static str>,
    /// The expression of the functions of a worker, if any.
    pub(crate) worker: Option<TokenStream>,
}

impl Known {
    pub(crate) fn parse(&self, arguments: TokenStream) -> Result<Arguments, Mistake> {
        let tokens: Vec<TokenTree> = arguments.into_iter().collect();
        let mut parsed = Arguments::default();
        let mut parts: Vec<&[TokenTree]> = tokens.split(is_comma).collect();
        // A comma may end the list.
        parts.pop_if(|last| last.is_empty());
        for part in parts {
            let end = part.last().map_or_else(Span::call_site, TokenTree::span);
            let Some(name) = part.first() else {
                return Err(Mistake::new(self.expected(), end));
            };
            let value = match part.get(1) {
                Some(TokenTree::Punct(equals)) if equals.as_char() == '=' => &part[2..],
                _ => &[],
            };
            match name.to_string().as_str() {
                "driver" if parsed.driver.is_none() => {
                    parsed.driver = Some(self.driver(value, end)?);
                }
                "worker" if self.takes_worker && parsed.worker.is_none() => {
                    if value.is_empty() {
                        return Err(Mistake::new("expected `worker = FUNCTIONS`", end));
                    }
                    parsed.worker = Some(value.iter().cloned().collect());
                }
                other => return Err(self.unknown(other, name.span())),
            }
        }
        Ok(parsed)
    }

    fn driver(&self, value: &[TokenTree], end: Span) -> Result<&'static str, Mistake> {
        let [TokenTree::Literal(value), trailing @ ..] = value else {
            return Err(Mistake::new(self.expected(), end));
        };
        if let Some(trailing) = trailing.first() {
            let message = format!("{} and nothing else", self.expected());
            return Err(Mistake::new(message, trailing.span()));
        }
        let text = value.to_string();
        let variant = self.drivers.iter().find(|(name, _)| text == format!("{name:?}"));
        let variant = variant.map(|(_, variant)| *variant);
        variant.ok_or_else(|| Mistake::new(self.expected(), value.span()))
    }

    fn unknown(&self, name: &str, span: Span) -> Mistake {
        let attribute = self.attribute;
        Mistake::new(
            match name {
                "shards" => format!(
                    "`{attribute}` runs one shard; for several, write a plain `fn main` that calls \
                     `corering::Runtime::builder().shards(n).run(..)`"
                ),
                "driver" | "worker" if self.takes_worker => {
                    format!("`{attribute}` takes `{name}` once")
                }
                _ => format!("`{attribute}` does not know `{name}`: {}", self.expected()),
            },
            span,
        )
    }

    fn expected(&self) -> String {
        let names: Vec<String> = self.drivers.iter().map(|(name, _)| format!("{name:?}")).collect();
        let worker = if self.takes_worker { ", `worker = FUNCTIONS`" } else { "" };
        format!("expected `driver = {}`{worker}", names.join(" | "))
    }
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',')
}
