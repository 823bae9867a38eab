//! What stands in the parentheses of an attribute: `driver = "name"`, or nothing.

use proc_macro::{Span, TokenStream, TokenTree};

use crate::function::Mistake;

/// The variant of `corering::Driver` that was asked for, if any.
pub(crate) fn driver(
    attribute: &str,
    arguments: TokenStream,
    known: &[(&str, &'static str)],
) -> Result<Option<&'static str>, Mistake> {
    let tokens: Vec<TokenTree> = arguments.into_iter().collect();
    let Some(first) = tokens.first() else {
        return Ok(None);
    };
    let names: Vec<String> = known.iter().map(|(name, _)| format!("{name:?}")).collect();
    let expected = format!("expected `driver = {}`", names.join(" | "));

    match first.to_string().as_str() {
        "driver" => {}
        "shards" => {
            let hint = "runs one shard; for several, write a plain `fn main` that calls \
                        `corering::Runtime::builder().shards(n).run(..)`";
            return Err(Mistake::new(format!("`{attribute}` {hint}"), first.span()));
        }
        other => {
            let message = format!("`{attribute}` does not know `{other}`: {expected}");
            return Err(Mistake::new(message, first.span()));
        }
    }
    let [_, TokenTree::Punct(equals), TokenTree::Literal(value), rest @ ..] = tokens.as_slice()
    else {
        return Err(Mistake::new(expected, end_of(&tokens)));
    };
    let trailing = match rest {
        [TokenTree::Punct(comma)] if comma.as_char() == ',' => None,
        rest => rest.first(),
    };
    if let Some(trailing) = trailing {
        return Err(Mistake::new(format!("{expected} and nothing else"), trailing.span()));
    }
    let value_text = value.to_string();
    let variant = known.iter().find(|(name, _)| value_text == format!("{name:?}"));
    match variant {
        Some((_, variant)) if equals.as_char() == '=' => Ok(Some(variant)),
        _ => Err(Mistake::new(expected, value.span())),
    }
}

fn end_of(tokens: &[TokenTree]) -> Span {
    tokens.last().map_or_else(Span::call_site, TokenTree::span)
}
