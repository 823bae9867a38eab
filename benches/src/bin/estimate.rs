//! The median of numbers and how far to trust it, for scripts that measure in pairs.
//!
//! Reads one number from each line of its standard input, and prints the median and the two ends of
//! the interval that holds it in 95 of 100 resamples: what `corering-bench paired` says of its ratios.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use corering_bench::stats::Estimate;

fn main() -> ExitCode {
    match estimate(io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("estimate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn estimate(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut numbers = Vec::new();
    for line in input.lines() {
        let line = line?;
        match line.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => numbers.push(number),
            _ => return Err(io::Error::other(format!("`{line}` is not a finite number"))),
        }
    }
    if numbers.is_empty() {
        return Err(io::Error::other("there is no number on the standard input"));
    }
    let Estimate { median, low, high } = Estimate::of(&numbers);
    writeln!(output, "{median:.4} {low:.4} {high:.4}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_a_median_with_its_interval() {
        let mut output = Vec::new();
        estimate(&b"1\n 3\n2\n"[..], &mut output).unwrap();
        assert_eq!(output, b"2.0000 1.0000 3.0000\n");
    }

    #[test]
    fn lines_without_numbers_are_errors() {
        for (input, named) in [(&b"1\ntwo\n"[..], "`two`"), (b"inf\n", "`inf`"), (b"", "no number")]
        {
            let error = estimate(input, Vec::new()).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
