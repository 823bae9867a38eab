//! The code that takes the place of the attribute and its function.
//!
//! It binds no name of its own, which a name of the program's could meet, and calls a function or two.
//! The user's function stays as it is, an `async fn` inside the new one: its messages, its types
//! and its `?` are those of any other function.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

use crate::arguments::Known;
use crate::function::{self, Function, Mistake};

const MAIN: Known = Known {
    attribute: "#[corering::main]",
    drivers: &[("uring", "Uring"), ("epoll", "Epoll"), ("auto", "Auto")],
    takes_worker: true,
};
const TEST: Known = Known {
    attribute: "#[corering::test]",
    drivers: &[("uring", "Uring"), ("epoll", "Epoll")],
    takes_worker: false,
};

pub(crate) fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let named = function::name_in(item.clone());
    let function = match Function::parse(MAIN.attribute, item) {
        Ok(function) => function,
        Err(mistake) => return with_empty_function(&mistake, named),
    };
    let arguments = match MAIN.parse(arguments) {
        Ok(arguments) => arguments,
        Err(mistake) => return with_empty_function(&mistake, named),
    };
    let mut run = arguments.worker.map_or_else(TokenStream::new, serve);
    run.extend(parse(&format!(
        "::corering::run_main(::corering::Driver::{driver}, {name})",
        driver = arguments.driver.unwrap_or("Auto"),
        name = function.name,
    )));
    let returns = function.returns.clone();
    wrap(function, TokenStream::new(), returns, run)
}

pub(crate) fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let named = function::name_in(item.clone());
    let function = match Function::parse(TEST.attribute, item) {
        Ok(function) => function,
        Err(mistake) => return with_empty_function(&mistake, named),
    };
    let only = match TEST.parse(arguments).map(|arguments| arguments.driver) {
        Ok(None) => "::core::option::Option::None".to_owned(),
        Ok(Some(driver)) => {
            format!("::core::option::Option::Some(::corering::Driver::{driver})")
        }
        Err(mistake) => return with_empty_function(&mistake, named),
    };
    let name = &function.name;
    let run = format!(
        "::corering::test_support::run(
            ::core::concat!(::core::module_path!(), \"::\", ::core::stringify!({name})),
            {only},
            {name},
        )"
    );
    wrap(function, parse("#[::core::prelude::v1::test]"), TokenStream::new(), parse(&run))
}

/// `::corering::process::worker(functions);`
fn serve(functions: TokenStream) -> TokenStream {
    let mut call = parse("::corering::process::worker");
    call.extend([
        TokenTree::from(Group::new(Delimiter::Parenthesis, functions)),
        TokenTree::from(Punct::new(';', Spacing::Alone)),
    ]);
    call
}

/// `attributes fn name() returns { async fn name() .. { .. } run }`
fn wrap(
    function: Function,
    attribute: TokenStream,
    returns: TokenStream,
    run: TokenStream,
) -> TokenStream {
    let Function { attributes, visibility, name, returns: output, body } = function;
    let empty = TokenTree::from(Group::new(Delimiter::Parenthesis, TokenStream::new()));

    let mut block = word("async", name.span());
    block.extend(word("fn", name.span()));
    block.extend([TokenTree::from(name.clone()), empty.clone()]);
    block.extend(output);
    block.extend([TokenTree::from(body)]);
    block.extend(run);

    let mut expanded = attribute;
    expanded.extend(attributes);
    expanded.extend(visibility);
    expanded.extend(word("fn", name.span()));
    expanded.extend([TokenTree::from(name), empty]);
    expanded.extend(returns);
    expanded.extend([TokenTree::from(Group::new(Delimiter::Brace, block))]);
    expanded
}

/// The error alone, but with a function of the name that was read, so that a missing `main` is not
/// reported on top of it.
fn with_empty_function(mistake: &Mistake, name: Option<Ident>) -> TokenStream {
    let mut expanded = compile_error(mistake);
    if let Some(name) = name {
        expanded.extend(parse(&format!("fn {name}() {{}}")));
    }
    expanded
}

/// `::core::compile_error! { "message" }`, pointing at the mistake.
fn compile_error(mistake: &Mistake) -> TokenStream {
    let mut message = Literal::string(&mistake.message);
    message.set_span(mistake.span);
    let mut argument = Group::new(Delimiter::Brace, TokenStream::from(TokenTree::from(message)));
    argument.set_span(mistake.span);

    let path = [("core", 2), ("compile_error", 2)];
    let mut tokens = Vec::new();
    for (segment, colons) in path {
        for index in 0..colons {
            let spacing = if index == 0 { Spacing::Joint } else { Spacing::Alone };
            tokens.push(TokenTree::from(Punct::new(':', spacing)));
        }
        tokens.push(TokenTree::from(Ident::new(segment, mistake.span)));
    }
    tokens.push(TokenTree::from(Punct::new('!', Spacing::Alone)));
    tokens.push(TokenTree::from(argument));
    for token in &mut tokens {
        token.set_span(mistake.span);
    }
    tokens.into_iter().collect()
}

fn word(text: &str, span: Span) -> TokenStream {
    TokenTree::from(Ident::new(text, span)).into()
}

fn parse(code: &str) -> TokenStream {
    code.parse().expect("the code of an expansion is written in this file and parses")
}
