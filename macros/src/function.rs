//! An `async fn`, taken apart into the pieces that the expansions put together anew.

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

/// What is wrong with the code the attribute stands on, and where.
pub(crate) struct Mistake {
    pub(crate) message: String,
    pub(crate) span: Span,
}

impl Mistake {
    pub(crate) fn new(message: impl Into<String>, span: Span) -> Self {
        Mistake { message: message.into(), span }
    }
}

/// The parts of `#[attributes] visibility async fn name() returns { body }`.
pub(crate) struct Function {
    pub(crate) attributes: TokenStream,
    pub(crate) visibility: TokenStream,
    pub(crate) name: Ident,
    /// `-> Type`, or nothing.
    pub(crate) returns: TokenStream,
    pub(crate) body: Group,
}

impl Function {
    /// Takes `item` apart. `attribute` is how messages call the attribute.
    pub(crate) fn parse(attribute: &str, item: TokenStream) -> Result<Self, Mistake> {
        let tokens: Vec<TokenTree> = item.into_iter().collect();
        let header_start = attributes_end(&tokens);
        let fn_at = tokens[header_start..]
            .iter()
            .position(|token| is_word(token, "fn"))
            .map(|offset| header_start + offset)
            .ok_or_else(|| {
                let span = tokens.get(header_start).map_or_else(Span::call_site, TokenTree::span);
                Mistake::new(format!("`{attribute}` goes on an `async fn`"), span)
            })?;
        let visibility = visibility(attribute, &tokens[header_start..fn_at], &tokens[fn_at])?;

        let Some(TokenTree::Ident(name)) = tokens.get(fn_at + 1) else {
            return Err(Mistake::new("expected the function's name", tokens[fn_at].span()));
        };
        let Some(TokenTree::Group(body)) = tokens.last().filter(|last| is_block(last)) else {
            return Err(Mistake::new(
                format!("`{attribute}` needs a function with a body"),
                name.span(),
            ));
        };
        let signature = &tokens[fn_at + 2..tokens.len() - 1];
        let returns = returns(attribute, signature, name.span())?;

        Ok(Function {
            attributes: tokens[..header_start].iter().cloned().collect(),
            visibility,
            name: name.clone(),
            returns,
            body: body.clone(),
        })
    }
}

/// The name of the first function in `item`, whether the rest can be taken apart or not.
pub(crate) fn name_in(item: TokenStream) -> Option<Ident> {
    let mut tokens = item.into_iter().skip_while(|token| !is_word(token, "fn"));
    match tokens.nth(1)? {
        TokenTree::Ident(name) => Some(name),
        _ => None,
    }
}

/// The index of the first token after the leading `#[..]`.
fn attributes_end(tokens: &[TokenTree]) -> usize {
    let mut at = 0;
    while let Some([TokenTree::Punct(hash), TokenTree::Group(group)]) = tokens.get(at..at + 2) {
        if hash.as_char() != '#' || group.delimiter() != Delimiter::Bracket {
            break;
        }
        at += 2;
    }
    at
}

/// What stands before `fn` without its `async`, which has to be there.
fn visibility(
    attribute: &str,
    header: &[TokenTree],
    fn_token: &TokenTree,
) -> Result<TokenStream, Mistake> {
    if let Some(qualifier) = header
        .iter()
        .find(|token| ["const", "unsafe", "extern"].iter().any(|word| is_word(token, word)))
    {
        return Err(Mistake::new(
            format!("`{attribute}` cannot run a function that is `{qualifier}`"),
            qualifier.span(),
        ));
    }
    if !header.iter().any(|token| is_word(token, "async")) {
        return Err(Mistake::new(
            format!("`{attribute}` needs an `async fn`: write `async` before `fn`"),
            fn_token.span(),
        ));
    }
    Ok(header.iter().filter(|token| !is_word(token, "async")).cloned().collect())
}

/// What stands between the parameter list, which has to be empty, and the body.
fn returns(attribute: &str, signature: &[TokenTree], name: Span) -> Result<TokenStream, Mistake> {
    match signature.first() {
        Some(TokenTree::Group(parameters)) if parameters.delimiter() == Delimiter::Parenthesis => {
            if !parameters.stream().is_empty() {
                return Err(Mistake::new(
                    format!("a function under `{attribute}` takes no arguments"),
                    parameters.span(),
                ));
            }
        }
        generics => {
            let span = generics.map_or(name, TokenTree::span);
            return Err(Mistake::new(
                format!("a function under `{attribute}` cannot be generic"),
                span,
            ));
        }
    }
    if let Some(bounds) = signature.iter().find(|token| is_word(token, "where")) {
        return Err(Mistake::new(
            format!("a function under `{attribute}` cannot have a `where` clause"),
            bounds.span(),
        ));
    }
    Ok(signature[1..].iter().cloned().collect())
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == word)
}

fn is_block(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}
